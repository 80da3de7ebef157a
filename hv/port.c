/* SPDX-License-Identifier: MIT */
/*
 * port.c - umbra_host_* on the bare machine.
 *
 *	start                                                       end
 *	| heap | frame[]: private word, next free | table pages ...... |
 *
 * Guest memory has three equal numbers: hva = gpa = hpa. So pin and memory need no
 * lookup: they refuse what is not the guest's (the hypervisor's block) and say yes to the
 * rest, RAM and devices alike. The whole block lies below 4 GiB, so every table page
 * serves UMBRA_PAGE_BELOW_4G.
 *
 * A flush is a flag that the next entry looks at: with one CPU nobody is in the guest now.
 */
#include "hv/port.h"
#include "hv/console.h"
#include "hv/paging.h"
#include "umbra/umbra.h"

#define NONE UINT32_MAX

struct port_frame {
	void *private;
	uint32_t next;
};

void port_init(struct port *port, const struct memory *memory, uint64_t start, uint64_t end)
{
	uint64_t heap_bytes = (end - start) / 4 & ~4095ull;
	uint64_t left = end - start - heap_bytes;
	uint64_t count = left / (UMBRA_PAGE_SIZE + sizeof(struct port_frame));
	uint64_t frames = (count * sizeof(struct port_frame) + 4095) & ~4095ull;

	*port = (struct port){.memory = memory, .reload = true, .flush = true};
	heap_init(&port->heap, paging_pointer(start), heap_bytes);
	port->frame = paging_pointer(start + heap_bytes);
	port->pages_start = start + heap_bytes + frames;
	port->page_count = (uint32_t)((end - port->pages_start) / UMBRA_PAGE_SIZE);
	if (port->page_count > count)
		port->page_count = (uint32_t)count;
	port->pages_free = NONE;
}

void port_settle(struct port *port)
{
	while (port->deferred) {
		struct umbra_deferred *deferred = port->deferred;

		port->deferred = deferred->next;
		deferred->run(port, deferred);
	}
}

/* ---- table pages ---- */

static uint32_t index_of(const struct port *port, umbra_hpa hpa)
{
	return (uint32_t)((hpa.v - port->pages_start) >> UMBRA_PAGE_SHIFT);
}

bool umbra_host_page_alloc(void *host, unsigned flags, umbra_hpa *hpa)
{
	struct port *port = host;
	uint32_t index = port->pages_free;

	(void)flags;
	if (index != NONE)
		port->pages_free = port->frame[index].next;
	else if (port->pages_top < port->page_count)
		index = port->pages_top++;
	else
		return false;
	port->pages_used++;
	port->frame[index].private = NULL;
	hpa->v = port->pages_start + ((uint64_t)index << UMBRA_PAGE_SHIFT);
	if (port->page)
		port->page(*hpa, true);
	return true;
}

void umbra_host_page_free(void *host, umbra_hpa hpa)
{
	struct port *port = host;
	uint32_t index = index_of(port, hpa);

	port->frame[index].private = NULL;
	port->frame[index].next = port->pages_free;
	port->pages_free = index;
	port->pages_used--;
	if (port->page)
		port->page(hpa, false);
}

/* What the library has a word for is a table, not spare or something that tables need. */
void port_each_table(struct port *port, void (*say)(umbra_hpa hpa, const uint64_t *entries))
{
	for (uint32_t i = 0; i < port->pages_top; i++) {
		const uint64_t at = port->pages_start + ((uint64_t)i << UMBRA_PAGE_SHIFT);

		if (port->frame[i].private)
			say((umbra_hpa){at}, paging_pointer(at));
	}
}

void *umbra_host_page_pointer(void *host, umbra_hpa hpa)
{
	(void)host;
	return paging_pointer(hpa.v);
}

void **umbra_host_page_private(void *host, umbra_hpa hpa)
{
	struct port *port = host;

	return &port->frame[index_of(port, hpa)].private;
}

/* ---- other memory ---- */

void *umbra_host_alloc(void *host, size_t size)
{
	return heap_alloc(&((struct port *)host)->heap, size);
}

void umbra_host_free(void *host, void *memory, size_t size)
{
	heap_free(&((struct port *)host)->heap, memory, size);
}

void *umbra_host_memory(void *host, umbra_hva hva, uint64_t *size)
{
	struct port *port = host;

	/* Most often where the last was. */
	if (hva.v - port->run_start >= port->run_size) {
		port->run_start = hva.v;
		port->run_size = memory_run(port->memory, hva.v);
	}
	*size = port->run_start + port->run_size - hva.v;
	return *size ? paging_pointer(hva.v) : NULL;
}

int umbra_host_pin(void *host, umbra_hva hva, bool write, struct umbra_pin *pin)
{
	const struct port *port = host;
	uint8_t level = 3;

	(void)write;
	for (; level > 1; level--) {
		uint64_t size = 1ull << (UMBRA_PAGE_SHIFT + 9 * (level - 1));
		uint64_t start = hva.v & -size;

		if (!memory_is_own(port->memory, start, start + size))
			break;
	}
	if (level == 1 && memory_is_own(port->memory, hva.v, hva.v + 1))
		return UMBRA_EFAULT;
	*pin = (struct umbra_pin){{hva.v >> UMBRA_PAGE_SHIFT}, level, true};
	return 0;
}

/* ---- one CPU ---- */

void umbra_host_flush(void *host, const struct umbra_flush *flush)
{
	struct port *port = host;

	(void)flush;
	port->flush = true;
	port->flushes++;
}

void umbra_host_kick(void *host, unsigned vcpu)
{
	(void)vcpu;
	((struct port *)host)->reload = true;
}

void umbra_host_lock(void *host, enum umbra_lock lock, bool exclusive)
{
	(void)host;
	(void)lock;
	(void)exclusive;
}

void umbra_host_unlock(void *host, enum umbra_lock lock, bool exclusive)
{
	(void)host;
	(void)lock;
	(void)exclusive;
}

void umbra_host_read_begin(void *host)
{
	(void)host;
}

void umbra_host_read_end(void *host)
{
	(void)host;
}

void umbra_host_defer(void *host, struct umbra_deferred *deferred)
{
	struct port *port = host;

	deferred->next = port->deferred;
	port->deferred = deferred;
}

void umbra_host_barrier(void *host)
{
	port_settle(host);
}

/* ---- telling ---- */

void umbra_host_bug(void *host, const char *file, int line, const char *what)
{
	(void)host;
	console_stop(CONSOLE_BUG, "bug in the library: %s:%d: %s", file, line, what);
}

void umbra_host_trace(void *host, const struct umbra_trace *event)
{
	const struct port *port = host;

	if (port->trace)
		port->trace(event);
}
