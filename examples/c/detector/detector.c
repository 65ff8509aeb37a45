// The rule root-login in C, by the canonical ABI alone: lists and strings are (pointer, length) pairs of 32-bit integers,
// records lie as C lays out structs, and a result comes back by pointer.
// https://github.com/WebAssembly/component-model/blob/main/design/mvp/CanonicalABI.md

typedef unsigned char u8;
typedef unsigned int u32;
typedef long long i64;

#define EXPORT(name) __attribute__((export_name(name)))
#define DETECTION "yagura:plugin/detection@0.1.0#"

typedef struct { const char *at; u32 bytes; } text;
typedef struct { const u8 *at; u32 bytes; } bytes;
typedef struct { bytes validity, offsets, values; } column;
typedef struct { text name; u8 data_type, nullable; } field;
typedef struct { text id, config; const field *schema; u32 fields; } rule;
typedef struct { text first, second; } pair;
// An option is a record of its own, aligned as what it may hold: written out field by field, C would lay it out closer.
typedef struct { u8 is_some; text value; } optional_text;
typedef struct { u8 is_some, value; } optional_severity;
typedef struct {
    const u32 *rows; u32 row_count;
    optional_text title;
    optional_severity severity;
    optional_text key;
    const pair *observables; u32 observable_count;
    const pair *context; u32 context_count;
} finding;
_Static_assert(sizeof(finding) == 52, "the size of `finding` in the canonical ABI");

// result<_, plugin-error>, and results with a list inside: the case, then its payload.
typedef struct { u8 is_error; union { struct { const void *at; u32 count; } list; struct { u8 kind; text message; } error; } as; } answer;

enum { INFO, LOW, MEDIUM, HIGH, CRITICAL };
enum { CONFIG, DATA, RETRY };

// Memory of one call: the host writes its arguments there, we our findings; it is given back after the call.
extern u8 __heap_base;
static u32 used;

EXPORT("cabi_realloc") void *cabi_realloc(void *old, u32 old_size, u32 align, u32 size) {
    u32 start = ((u32)&__heap_base + used + align - 1) & ~(align - 1);
    u32 end = start + size;
    u32 have = __builtin_wasm_memory_size(0) * 65536;
    if (end > have && __builtin_wasm_memory_grow(0, (end - have + 65535) / 65536) == (u32)-1) __builtin_trap();
    for (u32 i = 0; i < old_size && i < size; i++) ((u8 *)start)[i] = ((u8 *)old)[i];
    used = end - (u32)&__heap_base;
    return (void *)start;
}

static int equal(text a, const char *b) {
    u32 i = 0;
    while (i < a.bytes && b[i] && a.at[i] == b[i]) i++;
    return i == a.bytes && !b[i];
}

#define TEXT(literal) ((text){literal, sizeof literal - 1})

static u32 user_type, mfa; // places of the columns
static answer answered;
static const text ids[] = {{"root-login", 10}};
static struct { const text *at; u32 count; } rules_answer = {ids, 1};

EXPORT(DETECTION "rules") void *rules(void) { return &rules_answer; }

static answer *failed(u8 kind, text message) {
    answered = (answer){.is_error = 1, .as.error = {kind, message}};
    return &answered;
}

static answer *well(const void *at, u32 count) {
    answered = (answer){.is_error = 0, .as.list = {at, count}};
    return &answered;
}

static int place(const rule *of, const char *name, u32 *found) {
    for (u32 i = 0; i < of->fields; i++)
        if (equal(of->schema[i].name, name)) { *found = i; return 1; }
    return 0;
}

EXPORT(DETECTION "open") answer *open(const char *config, u32 config_bytes, const rule *opened, u32 count) {
    (void)config, (void)config_bytes;
    for (u32 i = 0; i < count; i++)
        if (!place(&opened[i], "user_type", &user_type) || !place(&opened[i], "additional_event_data.MFAUsed", &mfa))
            return failed(CONFIG, TEXT("the rule must list user_type and additional_event_data.MFAUsed"));
    return well(0, 0);
}

// The value of a text column; no bytes where it is NULL.
static text value(const column *of, u32 row) {
    if (of->validity.bytes && !(of->validity.at[row >> 3] >> (row & 7) & 1)) return TEXT("");
    const u32 *offsets = (const u32 *)of->offsets.at;
    return (text){(const char *)of->values.at + offsets[row], offsets[row + 1] - offsets[row]};
}

EXPORT(DETECTION "on-batch") answer *on_batch(u32 number, u32 rows, const column *columns, u32 count) {
    (void)number, (void)count;
    u32 found = 0;
    for (u32 row = 0; row < rows; row++) found += equal(value(&columns[user_type], row), "Root");
    finding *findings = cabi_realloc(0, 0, 4, found * sizeof(finding));
    u32 next = 0;
    for (u32 row = 0; row < rows; row++) {
        if (!equal(value(&columns[user_type], row), "Root")) continue;
        u32 *named = cabi_realloc(0, 0, 4, 4);
        *named = row;
        finding it = {.rows = named, .row_count = 1};
        if (!equal(value(&columns[mfa], row), "Yes")) {
            it.title = (optional_text){1, TEXT("Root login without a second factor")};
            it.severity = (optional_severity){1, CRITICAL};
        }
        findings[next++] = it;
    }
    return well(findings, found);
}

EXPORT(DETECTION "on-watermark") answer *on_watermark(i64 time) { (void)time; return well(0, 0); }
EXPORT(DETECTION "snapshot") answer *snapshot(void) { return well(0, 0); }
EXPORT(DETECTION "restore") answer *restore(const u8 *state, u32 size) { (void)state, (void)size; return well(0, 0); }

// The host has read the answer: the memory of the call is free again.
static void done(void) { used = 0; }
EXPORT("cabi_post_" DETECTION "open") void post_open(void *it) { (void)it; done(); }
EXPORT("cabi_post_" DETECTION "on-batch") void post_on_batch(void *it) { (void)it; done(); }
EXPORT("cabi_post_" DETECTION "restore") void post_restore(void *it) { (void)it; done(); }
