/*
 * What the built files promise to an attacker: nothing at a known address, no memory that can be
 * written and run, no table of functions left to overwrite, stacks and buffers that are checked,
 * and a library that shows its kb_ functions alone. Read from the files themselves. Sanitized
 * builds have checks of their own, and other flags.
 */
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "tests/support/program.h"
#include "tests/support/scene.h"

struct image {
    const char *name;
    char *bytes;
    size_t size;
    const Elf64_Ehdr *header;
    const Elf64_Phdr *segments;
    const Elf64_Shdr *sections;
};

static const void *at(const struct image *image, uint64_t offset, uint64_t size) {
    cr_assert(offset <= image->size && size <= image->size - offset, "%s is cut", image->name);
    return image->bytes + offset;
}

static struct image load(const char *name) {
    struct image image = { .name = name };
    image.bytes = program_read_file(scene_program(name), &image.size);
    cr_assert_not_null(image.bytes, "%s was not built", name);
    image.header = at(&image, 0, sizeof *image.header);
    cr_assert_eq(memcmp(image.header->e_ident, ELFMAG, SELFMAG), 0);
    image.segments =
        at(&image, image.header->e_phoff, image.header->e_phnum * sizeof *image.segments);
    image.sections =
        at(&image, image.header->e_shoff, image.header->e_shnum * sizeof *image.sections);
    return image;
}

static const Elf64_Phdr *segment(const struct image *image, uint32_t type) {
    for (unsigned i = 0; i < image->header->e_phnum; i++)
        if (image->segments[i].p_type == type)
            return &image->segments[i];
    return NULL;
}

/* A value of the dynamic section, 0 if it is not there. */
static uint64_t dynamic(const struct image *image, int64_t tag) {
    const Elf64_Phdr *where = segment(image, PT_DYNAMIC);
    cr_assert_not_null(where, "%s is not linked dynamically", image->name);
    const Elf64_Dyn *entries = at(image, where->p_offset, where->p_filesz);
    for (size_t i = 0; i < where->p_filesz / sizeof *entries && entries[i].d_tag != DT_NULL; i++)
        if (entries[i].d_tag == tag)
            return entries[i].d_un.d_val;
    return 0;
}

/* Call `each` for every symbol that the dynamic linker sees. */
static void symbols(const struct image *image, bool defined,
                    void (*each)(const char *symbol, void *userdata), void *userdata) {
    for (unsigned i = 0; i < image->header->e_shnum; i++) {
        const Elf64_Shdr *table = &image->sections[i];
        if (table->sh_type != SHT_DYNSYM)
            continue;
        const Elf64_Shdr *names = &image->sections[table->sh_link];
        const Elf64_Sym *all = at(image, table->sh_offset, table->sh_size);
        const char *texts = at(image, names->sh_offset, names->sh_size);
        for (size_t k = 1; k < table->sh_size / sizeof *all; k++)
            if ((all[k].st_shndx != SHN_UNDEF) == defined)
                each(texts + all[k].st_name, userdata);
    }
}

struct checks {
    bool stack, buffers;
};

static void note_check(const char *symbol, void *userdata) {
    struct checks *checks = userdata;
    size_t length = strlen(symbol);
    if (strcmp(symbol, "__stack_chk_fail") == 0)
        checks->stack = true;
    else if (length > 4 && strcmp(symbol + length - 4, "_chk") == 0)
        checks->buffers = true;
}

static void expect_hardened(const char *name, bool program) {
    struct image image = load(name);
    const Elf64_Phdr *stack = segment(&image, PT_GNU_STACK);
    struct checks checks = { 0 };
    symbols(&image, false, note_check, &checks);

    cr_expect_eq(image.header->e_type, ET_DYN, "%s has a fixed address", name);
    if (program)
        cr_expect(dynamic(&image, DT_FLAGS_1) & DF_1_PIE, "%s is no PIE", name);
    cr_expect(dynamic(&image, DT_FLAGS) & DF_BIND_NOW, "%s binds late", name);
    cr_expect(dynamic(&image, DT_FLAGS_1) & DF_1_NOW, "%s binds late", name);
    cr_expect_not_null(segment(&image, PT_GNU_RELRO), "%s keeps its tables writable", name);
    cr_expect(stack && !(stack->p_flags & PF_X), "%s has a stack that runs", name);
    for (unsigned i = 0; i < image.header->e_phnum; i++)
        cr_expect(image.segments[i].p_type != PT_LOAD ||
                      (image.segments[i].p_flags & (PF_W | PF_X)) != (PF_W | PF_X),
                  "%s has memory that is written and run", name);
    cr_expect(!dynamic(&image, DT_TEXTREL) && !(dynamic(&image, DT_FLAGS) & DF_TEXTREL),
              "%s has code that is relocated", name);
    cr_expect_eq(dynamic(&image, DT_RPATH) | dynamic(&image, DT_RUNPATH), 0u,
                 "%s says where to look for libraries", name);
    cr_expect(checks.stack, "%s does not check its stacks", name);
    cr_expect(checks.buffers, "%s does not check its buffers", name);
    free(image.bytes);
}

static bool only_for_plain_builds(void) {
    if (scene_sanitized())
        cr_skip_test("sanitized builds are hardened otherwise");
    return !scene_sanitized();
}

Test(hardening, programs_and_library_are_hardened) {
    if (!only_for_plain_builds())
        return;
    expect_hardened("keybrokerd", true);
    expect_hardened("keybroker", true);
    expect_hardened("examples/worker", true);
    expect_hardened("libkeybroker.so", false);
    if (access(scene_text("%s-console", scene_program("keybroker")), F_OK) == 0)
        expect_hardened("keybroker-console", true);
}

static void expect_public(const char *symbol, void *userdata) {
    unsigned *count = userdata;
    bool version =
        strncmp(symbol, "KEYBROKER_", 10) == 0 || strncmp(symbol, "LIBKEYBROKER_", 13) == 0;
    cr_expect(version || strncmp(symbol, "kb_", 3) == 0, "the library shows %s", symbol);
    *count += !version;
}

Test(hardening, the_library_shows_its_own_functions_and_nothing_else) {
    struct image image = load("libkeybroker.so");
    unsigned count = 0;
    symbols(&image, true, expect_public, &count);
    cr_expect_geq(count, 15u, "it shows too little: %u", count);
    free(image.bytes);
}
