#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Each check must be able to fail: breaks a rule in a scratch tree and looks.

TAP on stdout, one test case for each broken rule.
"""

import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def write(root, path, text):
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)


def tool(root, name, *args):
    result = subprocess.run([os.path.join(root, 'tools', name), *args], cwd=root, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return result.returncode, result.stdout


def small_tree(root):
    shutil.copytree(os.path.join(ROOT, 'tools'), os.path.join(root, 'tools'))
    shutil.copy(os.path.join(ROOT, '.clang-format'), root)
    shutil.copy(os.path.join(ROOT, '.clang-tidy'), root)
    write(root, 'core/meson.build', "['walk.c', 'tdp.c', 'mode.c']\n")
    write(root, 'core/walk.h', '#ifndef W\n#define W\n#include <stdint.h>\n#endif\n')
    write(root, 'core/tdp.h', '#ifndef T\n#define T\n#endif\n')
    write(root, 'core/shadow.h', '#ifndef S\n#define S\n#endif\n')
    write(root, 'core/sync.h', '#ifndef Y\n#define Y\n#endif\n')
    write(root, 'core/mode.h', '#ifndef M\n#define M\n#endif\n')
    write(root, 'core/walk.c', '#include "core/walk.h"\n#include "core/mode.h"\n')
    write(root, 'core/tdp.c', '#include "core/tdp.h"\n#include "core/sync.h"\n')
    write(root, 'core/mode.c', '#include "core/mode.h"\n')
    write(root, 'include/umbra/types.h', '#include <stdint.h>\n')
    write(root, 'include/umbra/host.h', 'int umbra_host_alloc(int);\n')
    write(root, 'include/umbra/umbra.h', 'int umbra_do(int);\n')
    write(root, 'model/model.h', '#include "umbra/types.h"\n')
    write(root, 'image/image.h', '#include "umbra/types.h"\n')


# name, tool, file to write, its text, words of the finding
BREAKS = [
    ('a lower layer includes a higher one', 'check-layers', 'core/mode.c',
     '#include "core/walk.h"\n', 'layer 1 includes "core/walk.h" of layer 2'),
    ('tdp reaches shadow', 'check-layers', 'core/sync.h',
     '#include "core/shadow.h"\n', 'stay apart'),
    ('a file without a layer', 'check-layers', 'core/new.c', '\n', 'add new to tools/layers'),
    ('a file that is not built', 'check-layers', 'core/age.c', '\n', 'not built'),
    ('the core includes libc', 'check-layers', 'core/walk.c', '#include <stdio.h>\n',
     'not a freestanding header'),
    ('the core includes the model', 'check-layers', 'core/walk.c',
     '#include "model/model.h"\n', 'includes only core/'),
    ('the model includes the core', 'check-layers', 'model/mem.c',
     '#include "core/walk.h"\n', 'model/ includes only'),
    ('the model includes the API', 'check-layers', 'model/mem.c',
     '#include "umbra/umbra.h"\n', 'model/ includes only'),
    ('the model sneaks out by dots', 'check-layers', 'model/mem.c',
     '#include "../core/walk.h"\n', 'model/ includes only'),
    ('the image reader includes the model', 'check-layers', 'image/image.c',
     '#include "model/model.h"\n', 'image/ includes only'),
    ('a header that needs another', 'check-headers', 'core/walk.h',
     'uint64_t x(void);\n', 'core/walk.h: not alone'),
    ('a header without guard', 'check-headers', 'core/mode.h',
     'struct twice { int a; };\n', 'core/mode.h: not alone'),
    ('a public header that is no C++', 'check-headers', 'include/umbra/types.h',
     '#ifndef T\n#define T\nint f(int *restrict p);\n#endif\n', 'c++17'),
    ('badly formatted', 'check-format', 'core/tdp.c', 'int  f ( void ) ;\n', 'core/tdp.c:1'),
    ('a null dereference', 'check-lint', 'core/tdp.c',
     'int f(int *p);\nint f(int *p)\n{\n\treturn p ? 1 : *p;\n}\n', 'core/tdp.c:4'),
]

# name, C source of the object, words of the finding; None: no finding
OBJECTS = [
    ('a complete object', 'int umbra_host_alloc(int);\nint umbra_do(int a);\n'
     'const int *const local_table[1];\n'
     'int umbra_do(int a) { return umbra_host_alloc(a); }\n', None),
    ('an undefined symbol', 'int puts(const char *);int umbra_host_alloc(int);\nint umbra_do(int a);\n'
     'int umbra_do(int a) { return puts("") + umbra_host_alloc(a); }\n', 'needs puts'),
    ('a writable variable', 'int umbra_host_alloc(int);\nint umbra_do(int a);static int count;\n'
     'int umbra_do(int a) { return umbra_host_alloc(a) + count++; }\n', 'count is writable'),
    ('a hook that nobody calls', 'int umbra_do(int a);\nint umbra_do(int a) { return a; }\n',
     'never calls umbra_host_alloc'),
    ('an API function that is missing', 'int umbra_host_alloc(int);int umbra_a(int a);\n'
     'int umbra_a(int a) { return umbra_host_alloc(a); }\n', 'lacks umbra_do'),
]


def break_rule(check, path, text):
    with tempfile.TemporaryDirectory() as root:
        small_tree(root)
        before, said = tool(root, check)
        if before:
            return f'fails on the unbroken tree: {said}'
        write(root, path, text)
        status, said = tool(root, check)
        return status, said


def make_object(source, link):
    with tempfile.TemporaryDirectory() as root:
        small_tree(root)
        write(root, 'core/fault.c', '')
        write(root, 'a.c', source)
        subprocess.run(['gcc', '-ffreestanding', '-c', 'a.c', '-o', 'a.o'], cwd=root, check=True)
        if link:
            subprocess.run([os.path.join(root, 'tools/make-object'), 'b.o', 'a.o'], cwd=root,
                           check=True)
        return tool(root, 'check-freestanding', 'b.o' if link else 'a.o')


def main():
    results = []
    for name, check, path, text, words in BREAKS:
        results.append((f'{check}: {name}', break_rule(check, path, text), words))
    for name, source, words in OBJECTS:
        results.append((f'check-freestanding: {name}', make_object(source, True), words))
    results.append(('check-freestanding: a name that is not localized',
                    make_object(OBJECTS[0][1] + 'int rmap_add(void);int rmap_add(void){return 0;}\n',
                                False), 'exports rmap_add'))
    results.append(('make-object localizes',
                    make_object(OBJECTS[0][1] + 'int rmap_add(void);int rmap_add(void){return 0;}\n',
                                True), None))
    print(f'1..{len(results)}')
    bad = 0
    for number, (name, result, words) in enumerate(results, 1):
        if isinstance(result, tuple):
            status, said = result
            ok = status == 0 and not said if words is None else status == 1 and words in said
        else:
            ok, said = False, result
        bad += not ok
        print(f'{"ok" if ok else "not ok"} {number} - {name}')
        if not ok:
            print(f'# expected "{words}", got: {said}')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
