#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""every_vector.py PROGRAM... - has every vector of hardware-facts a test on the model?

Runs the test programs and looks at the names of the tests that passed: T-1..T-120
must each be in one of them, or below with the reason why not. Speaks TAP, one line
for each number.
"""

import os
import re
import subprocess
import sys

LAST = 120
NOT_ON_THE_SHEET = 'the sheet has no vector of that number'
WITHOUT = {n: NOT_ON_THE_SHEET for n in [48, 49, 67, 68, 69, *range(81, 90)]}


def passed(program):
    """Names of the tests of @program that passed."""
    run = subprocess.run([program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                         env={**os.environ, 'CMOCKA_MESSAGE_OUTPUT': 'TAP'}, text=True)
    return re.findall(r'^ok \d+ - (.*)$', run.stdout, flags=re.M)


def main():
    tests = {}
    for program in sys.argv[1:]:
        for name in passed(program):
            for number in re.findall(r'\bT-(\d+)', name):
                where = f'{os.path.basename(program)}: {name}'
                tests.setdefault(int(number), []).append(where)
    numbers = sorted({*range(1, LAST + 1), *tests})
    print(f'1..{len(numbers)}')
    for i, n in enumerate(numbers, 1):
        if n > LAST or (n in WITHOUT and n in tests):
            print(f'not ok {i} - T-{n} is named by {tests[n][0]}, but {NOT_ON_THE_SHEET}')
        elif n in WITHOUT:
            print(f'ok {i} - T-{n} has none: {WITHOUT[n]}')
        elif n in tests:
            more = f' and {len(tests[n]) - 1} more' if len(tests[n]) > 1 else ''
            print(f'ok {i} - T-{n} {tests[n][0]}{more}')
        else:
            print(f'not ok {i} - T-{n} has no test')


if __name__ == '__main__':
    main()
