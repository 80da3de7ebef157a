/* SPDX-License-Identifier: MIT */
/*
 * spte_svg.c - bit maps of the entries, drawn.
 *
 *	       63 62 61 ...  51:12  11 10 ...  0
 *	hardware  |  |  |  address | ...          a row for the hardware,
 *	6.12, 004 |     |  frame   | ...          one for all layouts that agree
 *	7.3       |     |  frame   | ...
 *
 * A bit is a column; the address is cut where some row's use of it changes. Neighbours
 * with one use are one cell, whose text stands upright where it would not fit.
 */
#include "tools/spte_doc.h"

#include <stdio.h>
#include <string.h>

#define G ENTRY_GENERATIONS
#define ROWS (G + 1)

#define ADDRESS_LOW 12
#define ADDRESS_HIGH 51

/* Pixels. */
#define LABEL 106
#define TOP 52
#define BIT 31
#define LETTER 6.1
#define LINE 30
#define LEGEND 46

const struct figure figures[] = {
	{"spte-npt.svg", "Present entries of shadow paging and NPT", false, false, use_present},
	{"spte-ept.svg", "Present entries of EPT", true, false, use_present},
	{"spte-mmio-npt.svg", "MMIO entries of shadow paging and NPT", false, true, use_mmio},
	{"spte-mmio-ept.svg", "MMIO entries of EPT", true, true, use_mmio},
	{"spte-mmio-l1tf.svg", "MMIO entries of EPT where caches hold 44 address bits (L1TF)", true,
	 true, use_l1tf},
	{NULL, NULL, false, false, NULL},
};

enum fill { FREE, HARDWARE, ADDRESS, SOFTWARE, GENERATION, FAULT, FILLS };
static const struct {
	const char *colour, *meaning;
} fills[FILLS] = {
	[FREE] = {"#ffffff", "ignored, or written as 0"},
	[HARDWARE] = {"#cfe2f7", "read by the hardware"},
	[ADDRESS] = {"#d6ecd2", "address"},
	[SOFTWARE] = {"#ffd9a8", "the hypervisor's own"},
	[GENERATION] = {"#e4d5f2", "generation of the memory slots"},
	[FAULT] = {"#f6c4c0", "makes it fault: MMIO"},
};

struct column {
	unsigned high, low;
	double x, width;
};

struct map {
	const struct figure *figure;
	unsigned columns, rows;
	struct column column[64];
	/* Generations first..last of each row; the hardware's has none. */
	unsigned first[ROWS], last[ROWS];
	double right;
	bool used[FILLS];
};

/* ---- what is in a cell ---- */

static const char *use(const struct map *map, unsigned row, unsigned bit)
{
	if (!row)
		return hardware_name(map->figure->ept, bit);
	return map->figure->use(map->first[row], map->figure->ept, bit);
}

/* The gist of a name: no stars, nothing after a comma that only qualifies it. */
static void shorten(char *text, size_t size, const char *name)
{
	const bool generation = !strncmp(name, "generation", 10) || !strncmp(name, "gpa", 3);
	size_t length;

	const char *leaves;

	name += strspn(name, "*");
	length = strcspn(name, generation ? "*" : "*;,(");
	leaves = strstr(name, " in leaves");
	if (!leaves)
		leaves = strstr(name, " of leaves");
	if (leaves && leaves < name + length)
		length = (size_t)(leaves - name);
	if (!strncmp(name, "memory type", 11))
		length = 11;
	while (length && name[length - 1] == ' ')
		length--;
	snprintf(text, size, "%.*s", (int)length, name);
}

static enum fill fill(const struct map *map, unsigned row, unsigned bit)
{
	const char *name = use(map, row, bit);

	if (row && map->figure->mmio && mmio_mask(map->figure->ept) >> bit & 1)
		return FAULT;
	if (*name == '*')
		return SOFTWARE;
	if (!strncmp(name, "ignored", 7) || *name == '0')
		return FREE;
	if (!strncmp(name, "generation", 10))
		return GENERATION;
	if (!strncmp(name, "right", 5))
		return SOFTWARE;
	return bit >= ADDRESS_LOW && bit <= ADDRESS_HIGH ? ADDRESS : HARDWARE;
}

static bool same_cell(const struct map *map, unsigned row, unsigned a, unsigned b)
{
	return !strcmp(use(map, row, a), use(map, row, b)) &&
	       fill(map, row, a) == fill(map, row, b);
}

/* ---- the grid ---- */

static bool same_rows(const struct figure *figure, unsigned a, unsigned b)
{
	for (unsigned bit = 0; bit < 64; bit++) {
		if (strcmp(figure->use(a, figure->ept, bit), figure->use(b, figure->ept, bit)) != 0)
			return false;
	}
	return true;
}

static bool cut_below(const struct map *map, unsigned bit)
{
	if (bit > ADDRESS_HIGH || bit <= ADDRESS_LOW)
		return true;
	for (unsigned row = 0; row < map->rows; row++) {
		if (!same_cell(map, row, bit, bit - 1))
			return true;
	}
	return false;
}

static void lay_out(struct map *map, const struct figure *figure)
{
	double x = LABEL;

	*map = (struct map){.figure = figure, .rows = 1};
	for (unsigned g = 0; g < G; g++) {
		if (g && same_rows(figure, map->first[map->rows - 1], g)) {
			map->last[map->rows - 1] = g;
			continue;
		}
		map->first[map->rows] = map->last[map->rows] = g;
		map->rows++;
	}
	for (unsigned high = 64; high-- > 0;) {
		struct column *column = &map->column[map->columns++];
		unsigned low = high;

		while (!cut_below(map, low))
			low--;
		*column = (struct column){.high = high, .low = low, .x = x, .width = BIT};
		if (high > low)
			column->width = 84 + 2.5 * (high - low);
		x += column->width;
		high = low;
	}
	map->right = x;
}

/* Last column of the cell that begins at column @i. */
static unsigned cell_end(const struct map *map, unsigned row, unsigned i)
{
	while (i + 1 < map->columns &&
	       same_cell(map, row, map->column[i].low, map->column[i + 1].high))
		i++;
	return i;
}

static double cell_width(const struct map *map, unsigned i, unsigned end)
{
	return map->column[end].x + map->column[end].width - map->column[i].x;
}

static double text_width(const char *text)
{
	return LETTER * (double)strlen(text);
}

/* Tall enough for the longest text that must stand upright. */
static double row_height(const struct map *map, unsigned row)
{
	double height = LINE;

	for (unsigned i = 0, end; i < map->columns; i = end + 1) {
		char text[64];

		end = cell_end(map, row, i);
		shorten(text, sizeof(text), use(map, row, map->column[i].high));
		if (text_width(text) > cell_width(map, i, end) - 4 &&
		    text_width(text) + 12 > height)
			height = text_width(text) + 12;
	}
	return height;
}

/* ---- drawing ---- */

static void text_at(double x, double y, const char *anchor, const char *more, const char *text)
{
	put("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"%s>%s</text>\n", x, y, anchor, more,
	    text);
}

static void draw_cell(struct map *map, unsigned row, unsigned i, unsigned end, double y,
		      double height)
{
	const double x = map->column[i].x, width = cell_width(map, i, end);
	const double middle = x + width / 2, centre = y + height / 2;
	const enum fill colour = fill(map, row, map->column[i].high);
	char text[64], turn[80];

	map->used[colour] = true;
	put("<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\" "
	    "stroke=\"#666\"/>\n",
	    x, y, width, height, fills[colour].colour);
	shorten(text, sizeof(text), use(map, row, map->column[i].high));
	if (text_width(text) <= width - 4) {
		text_at(middle, centre + 4, "middle", colour == FREE ? " fill=\"#777\"" : "", text);
		return;
	}
	snprintf(turn, sizeof(turn), " transform=\"rotate(-90 %.1f %.1f)\"%s", middle, centre,
		 colour == FREE ? " fill=\"#777\"" : "");
	text_at(middle, centre + 4, "middle", turn, text);
}

static void draw_heading(const struct map *map)
{
	char text[16];

	for (unsigned i = 0; i < map->columns; i++) {
		const struct column *column = &map->column[i];

		snprintf(text, sizeof(text), column->high > column->low ? "%u:%u" : "%u",
			 column->high, column->low);
		text_at(column->x + column->width / 2, TOP - 6, "middle", " fill=\"#444\"", text);
	}
}

static void draw_label(const struct map *map, unsigned row, double y)
{
	char text[64] = "hardware";

	if (row) {
		size_t used = 0;

		for (unsigned g = map->first[row]; g <= map->last[row]; g++)
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s",
						 used ? ", " : "",
						 entry_layout(g, map->figure->ept)->generation);
	}
	text_at(LABEL - 8, y + 4, "end", " font-weight=\"bold\"", text);
}

static void draw_legend(const struct map *map, double y)
{
	double x = LABEL;

	for (unsigned f = 0; f < FILLS; f++) {
		if (!map->used[f])
			continue;
		put("<rect x=\"%.1f\" y=\"%.1f\" width=\"14\" height=\"14\" fill=\"%s\" "
		    "stroke=\"#666\"/>\n",
		    x, y, fills[f].colour);
		text_at(x + 20, y + 11, "start", "", fills[f].meaning);
		x += 44 + text_width(fills[f].meaning);
	}
}

void draw(const struct figure *figure)
{
	struct map map;
	double y = TOP, height = TOP + LEGEND;

	lay_out(&map, figure);
	for (unsigned row = 0; row < map.rows; row++)
		height += row_height(&map, row);
	put("<!-- Written by tools/gen_spte.c from core/entry.c; do not edit. -->\n"
	    "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
	    "viewBox=\"0 0 %.0f %.0f\" font-family=\"Helvetica, Arial, sans-serif\" "
	    "font-size=\"11\">\n<title>%s</title>\n"
	    "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
	    map.right + 10, height, map.right + 10, height, figure->title);
	text_at(LABEL, 20, "start", " font-size=\"14\" font-weight=\"bold\"", figure->title);
	draw_heading(&map);
	for (unsigned row = 0; row < map.rows; row++) {
		height = row_height(&map, row);
		draw_label(&map, row, y + height / 2);
		for (unsigned i = 0, end; i < map.columns; i = end + 1) {
			end = cell_end(&map, row, i);
			draw_cell(&map, row, i, end, y, height);
		}
		y += height;
	}
	draw_legend(&map, y + 16);
	put("</svg>\n");
}
