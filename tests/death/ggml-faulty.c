/* ggml-faulty.c - a backend of ggml whose device is the processor in disguise: layers lie there as on a graphics card, and it fails
 * as the drivers of those do, when the test says so. The host loads it because GGML_BACKEND_PATH names it.
 *
 * LIPC_FAULT_ORDERS names a file with one order, "PLACE FAULT TIMES". Places: start (of the driver), load (of weights), compute.
 * Faults: crash (a signal), abort (the library's way), fail (an error code), full (no memory). An order counts down.
 */
#include <ggml-backend-impl.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- orders --------------------------------------------------------------------------------------------------------- */

/* What is to go wrong here; "": nothing. */
static const char *fault_at(const char *place) {
    static char fault[16];
    char where[16] = "";
    int times = 0;
    const char *path = getenv("LIPC_FAULT_ORDERS");
    FILE *file = path ? fopen(path, "r+") : NULL;
    if (!file) return "";
    bool is_meant = fscanf(file, "%15s %15s %d", where, fault, &times) == 3 && times > 0 && strcmp(where, place) == 0;
    rewind(file);
    if (is_meant) fprintf(file, "%s %s %d\n", where, fault, times - 1);
    fclose(file);
    return is_meant ? fault : "";
}

/* Those that a function cannot return from. */
static const char *fault_suffered_at(const char *place) {
    const char *fault = fault_at(place);
    if (strcmp(fault, "crash") == 0) raise(SIGSEGV);
    if (strcmp(fault, "abort") == 0) GGML_ABORT("the card has fallen off the bus");
    return fault;
}

/* ---- memory: the processor's ------------------------------------------------------------------------------------------ */

static ggml_backend_dev_t processor(void) {
    return ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
}

static ggml_backend_buffer_type_t processor_memory(void) {
    return ggml_backend_dev_buffer_type(processor());
}

static const char *memory_name(ggml_backend_buffer_type_t type) {
    (void)type;
    return "Faulty0";
}

static ggml_backend_buffer_t allocate(ggml_backend_buffer_type_t type, size_t size) {
    if (strcmp(fault_suffered_at("load"), "full") == 0) return NULL;
    ggml_backend_buffer_t buffer = ggml_backend_buft_alloc_buffer(processor_memory(), size);
    if (buffer) buffer->buft = type;
    return buffer;
}

static size_t alignment(ggml_backend_buffer_type_t type) {
    (void)type;
    return ggml_backend_buft_get_alignment(processor_memory());
}

static bool is_host(ggml_backend_buffer_type_t type) {
    (void)type;
    return true;
}

/* ---- a backend at work ----------------------------------------------------------------------------------------------- */

static const char *device_name(ggml_backend_dev_t device) {
    (void)device;
    return "Faulty0";
}

static const char *backend_name(ggml_backend_t backend) {
    (void)backend;
    return "Faulty";
}

static void backend_free(ggml_backend_t backend) {
    ggml_backend_free(backend->context);
    free(backend);
}

static enum ggml_status compute(ggml_backend_t backend, struct ggml_cgraph *graph) {
    if (strcmp(fault_suffered_at("compute"), "fail") == 0) return GGML_STATUS_FAILED;
    return ggml_backend_graph_compute(backend->context, graph);
}

static ggml_backend_t backend_new(ggml_backend_dev_t device, const char *parameters) {
    static uint8_t guid[16] = "faulty backend";
    struct ggml_backend *backend = calloc(1, sizeof *backend);
    if (!backend) return NULL;
    backend->guid = &guid;
    backend->iface = (struct ggml_backend_i){.get_name = backend_name, .free = backend_free, .graph_compute = compute};
    backend->device = device;
    backend->context = ggml_backend_dev_init(processor(), parameters);
    ggml_backend_reg_t of_processor = ggml_backend_dev_backend_reg(processor());
    ggml_backend_set_n_threads_t set_threads =
        (ggml_backend_set_n_threads_t)ggml_backend_reg_get_proc_address(of_processor, "ggml_backend_set_n_threads");
    if (set_threads) set_threads(backend->context, 1);
    return backend;
}

/* ---- the device ------------------------------------------------------------------------------------------------------- */

static const char *description(ggml_backend_dev_t device) {
    (void)device;
    return "the processor in disguise";
}

static void memory(ggml_backend_dev_t device, size_t *n_free, size_t *n_all) {
    (void)device;
    *n_free = *n_all = (size_t)8 << 30;
}

static enum ggml_backend_dev_type type(ggml_backend_dev_t device) {
    (void)device;
    return GGML_BACKEND_DEVICE_TYPE_GPU;
}

static void properties(ggml_backend_dev_t device, struct ggml_backend_dev_props *properties) {
    *properties = (struct ggml_backend_dev_props){
        .name = device_name(device), .description = description(device), .type = type(device)};
    memory(device, &properties->memory_free, &properties->memory_total);
}

static ggml_backend_buffer_type_t buffer_type(ggml_backend_dev_t device) {
    static struct ggml_backend_buffer_type made = {
        .iface = {.get_name = memory_name, .alloc_buffer = allocate, .get_alignment = alignment, .is_host = is_host}};
    made.device = device;
    return &made;
}

static bool supports(ggml_backend_dev_t device, const struct ggml_tensor *operation) {
    (void)device;
    return ggml_backend_dev_supports_op(processor(), operation);
}

static bool supports_memory(ggml_backend_dev_t device, ggml_backend_buffer_type_t type) {
    (void)device;
    return ggml_backend_buft_is_host(type);
}

/* ---- what ggml asks for ------------------------------------------------------------------------------------------------ */

static struct ggml_backend_reg part;

static const char *part_name(ggml_backend_reg_t part) {
    (void)part;
    return "Faulty";
}

static size_t device_count(ggml_backend_reg_t part) {
    (void)part;
    return 1;
}

static ggml_backend_dev_t device_at(ggml_backend_reg_t asked, size_t index) {
    static struct ggml_backend_device device = {
        .iface = {.get_name = device_name, .get_description = description, .get_memory = memory, .get_type = type,
                  .get_props = properties, .init_backend = backend_new, .get_buffer_type = buffer_type, .supports_op = supports,
                  .supports_buft = supports_memory},
        .reg = &part};
    (void)asked, (void)index;
    return &device;
}

static struct ggml_backend_reg part = {
    .api_version = GGML_BACKEND_API_VERSION,
    .iface = {.get_name = part_name, .get_device_count = device_count, .get_device = device_at}};

__attribute__((visibility("default"))) ggml_backend_reg_t ggml_backend_init(void);
ggml_backend_reg_t ggml_backend_init(void) {
    fault_suffered_at("start");
    return &part;
}
