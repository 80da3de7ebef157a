/* SPDX-License-Identifier: MIT */
/*
 * world.c - the VM, its memory and its CPUs, on both machines.
 *
 * Host memory of a new slot gets a place of its own, congruent to its gpa modulo
 * 1 GiB so that large pages fit (skew: 4 KiB off, so that none does). The bare
 * machine has the same bytes at gpa == hpa. When a slot goes, its bytes on the bare
 * machine become ones, as an empty bus reads, and the hardware's stay as they were:
 * whoever still reaches them has a translation that should be gone.
 *
 * Invariants: slots that are live do not overlap; both copies of memory are equal
 * between steps unless the scenario made them differ.
 */
#include "scenario/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "scenario/parts.h"

struct umbra_cpu world_cpu_of(enum umbra_vendor vendor, unsigned maxphyaddr)
{
	const uint32_t both = UMBRA_CPU_PSE | UMBRA_CPU_PAE | UMBRA_CPU_PGE | UMBRA_CPU_PAT |
			      UMBRA_CPU_PSE36 | UMBRA_CPU_PCID | UMBRA_CPU_SMEP | UMBRA_CPU_SMAP |
			      UMBRA_CPU_PKU | UMBRA_CPU_LA57 | UMBRA_CPU_SHSTK | UMBRA_CPU_NX |
			      UMBRA_CPU_1G | UMBRA_CPU_LM;
	const uint32_t intel = UMBRA_CPU_PKS | UMBRA_CPU_EPT_EXECONLY | UMBRA_CPU_EPT_LEVEL5 |
			       UMBRA_CPU_EPT_2M | UMBRA_CPU_EPT_1G | UMBRA_CPU_EPT_AD |
			       UMBRA_CPU_EPT_ADVINFO | UMBRA_CPU_MBEC;
	const uint32_t amd = UMBRA_CPU_GMET | UMBRA_CPU_ROGPT | UMBRA_CPU_PDPTE_MEMORY |
			     UMBRA_CPU_BIT8_MBZ | UMBRA_CPU_REWALK;
	const bool is_amd = vendor == UMBRA_VENDOR_AMD;

	return (struct umbra_cpu){
		.vendor = vendor,
		.maxphyaddr = (uint8_t)(maxphyaddr ? maxphyaddr
					: is_amd   ? 48
						   : 46),
		.features = both | (is_amd ? amd : intel),
	};
}

/* ---- notes ---- */

struct note *world_note(struct world *world, enum note_kind kind)
{
	static struct note spare;

	if (world->note_count == world->note_room) {
		size_t room = world->note_room ? 2 * world->note_room : 64;
		struct note *notes =
			room > 1u << 20 ? NULL : realloc(world->notes, room * sizeof(*notes));

		if (!notes)
			return &spare;
		world->notes = notes;
		world->note_room = room;
	}
	world->notes[world->note_count] = (struct note){.kind = kind};
	return &world->notes[world->note_count++];
}

/* What runs on @cpu may speculate with every page that any of its kind has used. */
static void speculate(const struct world *world, const struct world_cpu *cpu)
{
	const enum world_tag who = cpu->in_l2 ? WORLD_L2 : WORLD_L1;

	for (unsigned i = 0; i < world->cpu_count; i++)
		for (unsigned k = 0; k < world->cpu[i].used[who].count && k < WORLD_USED; k++)
			model_gather(cpu->judge, world->cpu[i].used[who].page[k], NULL);
}

void world_begin(struct world *world)
{
	world->note_count = 0;
	for (unsigned i = 0; i < world->cpu_count; i++)
		speculate(world, &world->cpu[i]);
}

void world_mark(struct world *world)
{
	memset(world->traced, 0, sizeof(world->traced));
	umbra_vm_stats(world->vm, &world->marked);
}

static void on_flush(void *context, const struct umbra_flush *flush)
{
	struct world *world = context;

	(void)flush;
	for (unsigned i = 0; i < world->cpu_count; i++)
		world_flush_cpu(&world->cpu[i], "Umbra asks", world->omits.flush);
}

static void on_kick(void *context, unsigned vcpu)
{
	struct world *world = context;

	if (vcpu < world->cpu_count && !world->omits.kick)
		world->cpu[vcpu].stale = true;
}

/* Tables are told apart by when they came: addresses say nothing. */
static void note_table(struct world *world, const struct umbra_trace *event)
{
	for (size_t i = 0; i < world->table_count; i++)
		if (world->tables[i].hpa == event->c)
			world->tables[i].live = false;
	if (event->kind != UMBRA_TRACE_GET_PAGE)
		return;
	if (world->table_count == world->table_room) {
		size_t room = world->table_room ? 2 * world->table_room : 64;
		struct world_table *tables = realloc(world->tables, room * sizeof(*tables));

		if (!tables)
			return;
		world->tables = tables;
		world->table_room = room;
	}
	world->tables[world->table_count++] =
		(struct world_table){event->c, event->a, event->b, true};
}

static void on_trace(void *context, const struct umbra_trace *event)
{
	struct world *world = context;

	if (event->kind == UMBRA_TRACE_GET_PAGE || event->kind == UMBRA_TRACE_PREPARE_ZAP_PAGE)
		note_table(world, event);

	if ((unsigned)event->kind < UMBRA_TRACE_KINDS)
		world->traced[event->kind]++;
	world_note(world, NOTE_TRACE)->trace = *event;
}

static void on_bug(void *context, const char *file, int line, const char *what)
{
	(void)context;
	fflush(stdout);
	fprintf(stderr, "umbra: a bug in Umbra: %s:%d: %s\n", file, line, what);
	_exit(4);
}

/* ---- opening ---- */

static bool open_vm(struct world *world, char *error, size_t error_size)
{
	const struct world_config *c = &world->config;
	const struct umbra_vm_config config = {
		.host = world->host,
		.cpu = c->cpu,
		.paging = c->paging,
		.levels = c->levels,
		.layout = c->layout,
		.page_level = c->page_level,
		.exec_by_mode = c->exec_by_mode,
		.page_limit = c->page_limit,
		.slot_zap_all = c->slot_zap_all,
		.no_prefetch = c->no_prefetch,
		.no_mmio_caching = c->no_mmio_caching,
		.mmio_wide_generation = c->mmio_wide_generation,
		.l1tf_cache_bits = c->l1tf_cache_bits,
		.bug_truncate_gpa = c->bug_truncate_gpa,
		.private_memory = c->private_memory,
		.manual_dirty = c->manual_dirty,
		.allow_smaller_maxphyaddr = c->allow_smaller_maxphyaddr,
		.trace = true,
	};
	const struct posix_calls calls = {
		.context = world,
		.flush = on_flush,
		.kick = on_kick,
		.trace = on_trace,
		.bug = on_bug,
	};
	enum umbra_status status;

	posix_set_calls(world->host, &calls);
	for (unsigned pool = 0; pool < POSIX_POOL_COUNT; pool++) {
		struct posix_range range = posix_pool_range(world->host, pool);

		if (!model_mem_add(world->umbra_mem, range.base, range.size, range.bytes)) {
			snprintf(error, error_size, "out of memory");
			return false;
		}
	}
	status = umbra_vm_create(&config, &world->vm);
	if (status != UMBRA_OK)
		snprintf(error, error_size, "such a VM cannot be: %s", umbra_strstatus(status));
	return status == UMBRA_OK;
}

struct world *world_open(const struct world_config *config, char *error, size_t error_size)
{
	/* Small pools: a scenario has few tables, and none needs a gigabyte. */
	const struct posix_config host = {
		.base = {POSIX_LOW_BASE, POSIX_HIGH_BASE},
		.pages = {1024, 8192},
		.poison = true,
		.single = true,
	};
	struct world *world = calloc(1, sizeof(*world));

	if (world) {
		world->config = *config;
		world->mbec = config->exec_by_mode;
		world->next_place = 0x200000000;
		world->bare_mem = model_mem_new();
		world->umbra_mem = model_mem_new();
		world->host = posix_host_new(&host);
	}
	if (!world || !world->bare_mem || !world->umbra_mem || !world->host) {
		snprintf(error, error_size, "out of memory");
		world_close(world);
		return NULL;
	}
	if (!open_vm(world, error, error_size)) {
		world_close(world);
		return NULL;
	}
	return world;
}

void world_close(struct world *world)
{
	if (!world)
		return;
	for (unsigned i = 0; i < world->cpu_count; i++)
		world->cpu[i].entered = false;
	if (world->vm)
		umbra_vm_destroy(world->vm);
	for (unsigned i = 0; i < world->cpu_count; i++) {
		model_cpu_free(world->cpu[i].model);
		model_cpu_free(world->cpu[i].bare);
		model_cpu_free(world->cpu[i].judge);
	}
	if (world->umbra_mem)
		model_mem_free(world->umbra_mem);
	if (world->bare_mem)
		model_mem_free(world->bare_mem);
	if (world->host)
		posix_host_free(world->host);
	for (unsigned i = 0; i < world->slot_count; i++) {
		munmap(world->slot[i].bytes, world->slot[i].size);
		world_free_private(&world->slot[i]);
	}
	for (unsigned i = 0; i < world->bare_count; i++)
		munmap(world->bare[i].bytes, world->bare[i].size);
	free(world->notes);
	free(world->tables);
	free(world);
}

struct world_cpu *world_add_cpu(struct world *world, const struct umbra_cpu *guest, char *error,
				size_t error_size)
{
	struct model_config bare = {.cpu = *guest, .caching = MODEL_STRICT};
	struct model_config judge = {.cpu = *guest, .caching = MODEL_HOSTILE};
	struct model_config hardware = {
		.cpu = world->config.cpu,
		.caching = world->config.caching,
		.seed = world->cpu_count,
	};
	struct world_cpu *cpu = &world->cpu[world->cpu_count];
	enum umbra_status status;

	if (world->cpu_count == WORLD_CPUS) {
		snprintf(error, error_size, "more than %u vCPUs", WORLD_CPUS);
		return NULL;
	}
	*cpu = (struct world_cpu){
		.world = world,
		.number = world->cpu_count,
		.guest = *guest,
		.model = model_cpu_new(world->umbra_mem, &hardware),
		.bare = model_cpu_new(world->bare_mem, &bare),
		.judge = model_cpu_new(world->bare_mem, &judge),
	};
	/* Counted first: world_close() frees what there is. */
	world->cpu_count++;
	if (!cpu->model || !cpu->bare || !cpu->judge) {
		snprintf(error, error_size, "out of memory");
		return NULL;
	}
	status = umbra_vcpu_create(world->vm, guest, &cpu->vcpu);
	if (status != UMBRA_OK) {
		snprintf(error, error_size, "such a vCPU cannot be: %s", umbra_strstatus(status));
		return NULL;
	}
	return cpu;
}

/* ---- memory ---- */

struct world_slot *world_slot_at(struct world *world, umbra_gpa gpa)
{
	for (unsigned i = 0; i < world->slot_count; i++) {
		struct world_slot *slot = &world->slot[i];

		if (slot->live && gpa.v - slot->base.v < slot->size)
			return slot;
	}
	return NULL;
}

bool world_gpa_of(const struct world *world, uint64_t hpa, umbra_gpa *gpa)
{
	for (unsigned i = 0; i < world->slot_count; i++) {
		const struct world_slot *slot = &world->slot[i];

		if (!slot->live)
			continue;
		if (hpa - slot->place < slot->size) {
			gpa->v = slot->base.v + (hpa - slot->place);
			return true;
		}
		if (slot->private_bytes && hpa - slot->private_place < slot->size) {
			gpa->v = slot->base.v + (hpa - slot->private_place);
			return true;
		}
	}
	return false;
}

uint8_t *world_bare_at(struct world *world, umbra_gpa gpa)
{
	for (unsigned i = 0; i < world->bare_count; i++) {
		struct world_bare *bare = &world->bare[i];

		if (gpa.v - bare->base.v < bare->size)
			return bare->bytes + (gpa.v - bare->base.v);
	}
	return NULL;
}

enum umbra_status world_poke(struct world *world, umbra_gpa gpa, const void *bytes, size_t size)
{
	enum umbra_status status = umbra_vm_write(world->vm, gpa, bytes, size);
	const uint8_t *from = bytes;

	for (size_t i = 0; status == UMBRA_OK && i < size; i++) {
		uint8_t *to = world_bare_at(world, (umbra_gpa){gpa.v + i});

		if (to)
			*to = from[i];
	}
	return status;
}

bool world_peek(struct world *world, umbra_gpa gpa, void *bytes, size_t size)
{
	return umbra_vm_read(world->vm, gpa, bytes, size) == UMBRA_OK;
}

static void *map(uint64_t size)
{
	void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return bytes == MAP_FAILED ? NULL : bytes;
}

/* Host memory for @slot; registered with the port and the hardware's model. */
static bool add_host(struct world *world, const struct umbra_slot *slot, struct world_slot *new)
{
	const uint64_t gig = 1ull << 30, high = POSIX_HIGH_BASE;
	uint64_t place = ((world->next_place + gig - 1) & ~(gig - 1)) + slot->base.v % gig;
	uint64_t end;

	if (world->config.skew)
		place += UMBRA_PAGE_SIZE;
	end = place + slot->size;
	if (place < high + gig && end > high) {
		place += high + gig - (place & ~(gig - 1));
		end = place + slot->size;
	}
	if (end > 1ull << world->config.cpu.maxphyaddr)
		return false;
	*new = (struct world_slot){
		.id = slot->id,
		.base = slot->base,
		.size = slot->size,
		.place = place,
		.readonly = slot->flags & UMBRA_SLOT_READONLY,
		.bytes = map(slot->size),
	};
	if (!new->bytes)
		return false;
	const struct posix_region region = {
		.base = {place},
		.size = slot->size,
		.bytes = new->bytes,
		.level = world->config.page_level,
		.readonly = new->readonly,
	};
	if (!posix_region_add(world->host, &region, &new->hva) ||
	    !model_mem_add(world->umbra_mem, region.base, slot->size, new->bytes)) {
		munmap(new->bytes, new->size);
		return false;
	}
	world->next_place = end;
	world->memory += slot->size;
	return true;
}

/* The bare machine has RAM at [base, base + size), with @from's bytes or zeros. */
static bool add_bare(struct world *world, umbra_gpa base, uint64_t size, const void *from)
{
	struct world_bare *bare = world->bare;

	for (; bare < world->bare + world->bare_count; bare++) {
		if (bare->base.v == base.v && bare->size == size)
			break;
		if (bare->base.v < base.v + size && base.v < bare->base.v + bare->size)
			return false;
	}
	if (bare == world->bare + world->bare_count) {
		if (world->bare_count == WORLD_SLOTS)
			return false;
		*bare = (struct world_bare){base, size, map(size)};
		if (!bare->bytes)
			return false;
		if (!model_mem_add(world->bare_mem, (umbra_hpa){base.v}, size, bare->bytes)) {
			munmap(bare->bytes, size);
			return false;
		}
		world->bare_count++;
	} else {
		madvise(bare->bytes, size, MADV_DONTNEED);
	}
	if (from)
		memcpy(bare->bytes, from, size);
	return true;
}

static struct world_slot *live_slot(struct world *world, uint32_t id)
{
	for (unsigned i = 0; i < world->slot_count; i++)
		if (world->slot[i].live && world->slot[i].id == id)
			return &world->slot[i];
	return NULL;
}

static void forget_bare(struct world *world, const struct world_slot *slot)
{
	uint8_t *bytes = world_bare_at(world, slot->base);

	if (bytes)
		memset(bytes, 0xff, slot->size);
}

/* Umbra has accepted @slot: the same for the bare machine. */
static bool follow(struct world *world, const struct umbra_slot *slot, struct world_slot *old,
		   struct world_slot *new)
{
	if (!slot->size) {
		old->live = false;
		forget_bare(world, old);
		return true;
	}
	if (!old) {
		new->live = true;
		return add_bare(world, slot->base, slot->size, NULL);
	}
	if (old->base.v != slot->base.v) {
		forget_bare(world, old);
		old->base = slot->base;
		return add_bare(world, slot->base, slot->size, old->bytes);
	}
	return true;
}

bool world_slot_set(struct world *world, const struct umbra_slot *slot, enum umbra_status *status,
		    char *error, size_t error_size)
{
	struct world_slot *old = live_slot(world, slot->id), *new = NULL;
	struct umbra_slot want = *slot;
	bool pretend = slot->size > WORLD_MEMORY_MAX ||
		       world->memory + slot->size > WORLD_MEMORY_MAX ||
		       (slot->size | slot->base.v) % UMBRA_PAGE_SIZE;

	if (!old && slot->size && !pretend) {
		if (world->slot_count == WORLD_SLOTS) {
			snprintf(error, error_size, "more than %u slots", WORLD_SLOTS);
			return false;
		}
		new = &world->slot[world->slot_count];
		if (!add_host(world, slot, new)) {
			snprintf(error, error_size, "no host memory for such a slot");
			return false;
		}
		world->slot_count++;
		if (slot->flags & UMBRA_SLOT_PRIVATE && !world_add_private(world, new)) {
			snprintf(error, error_size, "no private memory for such a slot");
			return false;
		}
		want.private_hva = new->private_hva;
	}
	if (!slot->hva.v)
		want.hva = old ? old->hva : new ? new->hva : (umbra_hva){1ull << 30};
	*status = umbra_slot_set(world->vm, &want);
	if (*status != UMBRA_OK)
		return true;
	for (unsigned i = 0; i < world->cpu_count; i++)
		world->cpu[i].stale = true;
	if (pretend && !old) {
		snprintf(error, error_size, "a scenario has at most 16 GiB of memory");
		return false;
	}
	if (!follow(world, slot, old, new)) {
		snprintf(error, error_size,
			 "a new slot must have memory of its own or just that of a deleted one");
		return false;
	}
	return true;
}
