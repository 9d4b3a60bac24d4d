// A CUDA device that computes nothing: what torch, cuBLAS, cuDNN and Triton ask of CUDA is answered and counted.
//
// Device memory is 0 and stays so; what is copied to the host is 0; kernels do nothing. Whatever the host does is real.
// While a graph is captured, what a device would refuse is refused. Functions that are not here return 0 (`build.py`).
#include <cuda_runtime_api.h>
#include <cudnn_version.h>
#include <dlfcn.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#define API extern "C" __attribute__((visibility("default")))
using Ranges = std::map<const char*, size_t>;

static std::mutex lock;  // containers are made when they are first needed: libraries register kernels before main
static std::map<std::string, long>& counts() { static auto* all = new std::map<std::string, long>; return *all; }
static Ranges& device() { static auto* all = new Ranges; return *all; }
static Ranges& pinned() { static auto* all = new Ranges; return *all; }
static const size_t MEMORY = 80ul << 30;
static size_t used = 0;
static long handles = 0x1000;
static void* fresh() { return (void*)(handles += 16); }
static int made(void** handle) { *handle = fresh(); return 0; }

// -- what was asked for
API void no_device_count(const char* what) { std::lock_guard<std::mutex> guard(lock); counts()[what]++; }
API void no_device_reset() { std::lock_guard<std::mutex> guard(lock); counts().clear(); }
API long no_device_counted(const char* what) { std::lock_guard<std::mutex> guard(lock); return counts()[what]; }
static int ran() { no_device_count("kernel"); return 0; }

static bool within(const Ranges& ranges, const void* place) {
  auto range = ranges.upper_bound((const char*)place);
  return range != ranges.begin() && (--range, (const char*)place < range->first + range->second);
}

// -- the device: an H100
API cudaError_t cudaGetDeviceCount(int* count) { *count = 1; return cudaSuccess; }
API cudaError_t cudaGetDevice(int* number) { *number = 0; return cudaSuccess; }
API cudaError_t cudaDriverGetVersion(int* version) { *version = CUDART_VERSION; return cudaSuccess; }
API cudaError_t cudaRuntimeGetVersion(int* version) { *version = CUDART_VERSION; return cudaSuccess; }
API cudaError_t cudaDeviceCanAccessPeer(int* can, int, int) { *can = 0; return cudaSuccess; }
API cudaError_t cudaMemGetInfo(size_t* left, size_t* all) { *all = MEMORY; *left = MEMORY - used; return cudaSuccess; }
API cudaError_t cudaDeviceGetStreamPriorityRange(int* low, int* high) { *low = 0; *high = -5; return cudaSuccess; }
static int attribute(int which) {
  switch (which) {
    case cudaDevAttrMaxThreadsPerBlock: case cudaDevAttrMaxBlockDimX: case cudaDevAttrMaxBlockDimY: return 1024;
    case cudaDevAttrMaxBlockDimZ: return 64;
    case cudaDevAttrMaxGridDimX: return 2147483647;
    case cudaDevAttrMaxGridDimY: case cudaDevAttrMaxGridDimZ: return 65535;
    case cudaDevAttrMaxSharedMemoryPerBlock: return 49152;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: return 232448;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: return 233472;
    case cudaDevAttrWarpSize: case cudaDevAttrMaxBlocksPerMultiprocessor: return 32;
    case cudaDevAttrMaxRegistersPerBlock: case cudaDevAttrMaxRegistersPerMultiprocessor: return 65536;
    case cudaDevAttrMultiProcessorCount: return 132;
    case cudaDevAttrMaxThreadsPerMultiProcessor: return 2048;
    case cudaDevAttrComputeCapabilityMajor: return 9;
    case cudaDevAttrClockRate: return 1755000;
    case cudaDevAttrMemoryClockRate: return 2619000;
    case cudaDevAttrGlobalMemoryBusWidth: return 5120;
    case cudaDevAttrL2CacheSize: return 52428800;
    case cudaDevAttrUnifiedAddressing: case cudaDevAttrConcurrentKernels: case cudaDevAttrCooperativeLaunch: return 1;
    default: return 0;
  }
}
API cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr which, int) {
  *value = attribute(which);
  return cudaSuccess;
}
API cudaError_t cudaGetDeviceProperties(cudaDeviceProp* all, int) {
  *all = {};
  strcpy(all->name, "H100 that is none");
  all->major = attribute(cudaDevAttrComputeCapabilityMajor);
  all->totalGlobalMem = MEMORY;
  all->warpSize = 32;
  all->multiProcessorCount = attribute(cudaDevAttrMultiProcessorCount);
  all->maxThreadsPerMultiProcessor = attribute(cudaDevAttrMaxThreadsPerMultiProcessor);
  all->maxThreadsPerBlock = all->maxThreadsDim[0] = all->maxThreadsDim[1] = 1024;
  all->maxThreadsDim[2] = 64;
  all->maxGridSize[0] = attribute(cudaDevAttrMaxGridDimX);
  all->maxGridSize[1] = all->maxGridSize[2] = attribute(cudaDevAttrMaxGridDimY);
  all->sharedMemPerBlock = attribute(cudaDevAttrMaxSharedMemoryPerBlock);
  all->sharedMemPerBlockOptin = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
  all->sharedMemPerMultiprocessor = attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor);
  all->regsPerBlock = all->regsPerMultiprocessor = attribute(cudaDevAttrMaxRegistersPerBlock);
  all->maxBlocksPerMultiProcessor = 32;
  all->l2CacheSize = attribute(cudaDevAttrL2CacheSize);
  all->memoryBusWidth = attribute(cudaDevAttrGlobalMemoryBusWidth);
  all->unifiedAddressing = all->concurrentKernels = all->cooperativeLaunch = 1;
  all->textureAlignment = 512;
  return cudaSuccess;
}

// -- graphs: while one is captured its thread must not wait
static void* captured_stream = nullptr;
static bool capturing = false;
static thread_local bool own_capture = false;
static unsigned long long captures = 0;
static std::vector<void*> joined;  // streams that wait for an event of the captured one
static bool in_capture(void* stream) {
  std::lock_guard<std::mutex> guard(lock);
  return capturing && (stream == captured_stream || std::find(joined.begin(), joined.end(), stream) != joined.end());
}
static cudaError_t waits(const char* what) {
  no_device_count(what);
  if (!own_capture) return cudaSuccess;
  fprintf(stderr, "no device: a %s while a graph is captured\n", what);
  return cudaErrorStreamCaptureUnsupported;
}
API cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  captured_stream = stream;
  capturing = own_capture = true;
  captures++;
  joined.clear();
  return cudaSuccess;
}
API cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t* graph) {
  capturing = own_capture = false;
  return (cudaError_t)made((void**)graph);
}
API cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  *status = in_capture(stream) ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
API cudaError_t cudaStreamGetCaptureInfo(
    cudaStream_t stream, cudaStreamCaptureStatus* status, unsigned long long* id, cudaGraph_t* graph,
    const cudaGraphNode_t** nodes, const cudaGraphEdgeData** edges, size_t* count) {
  cudaStreamIsCapturing(stream, status);
  if (id) *id = captures;
  if (graph) *graph = (cudaGraph_t)16;
  if (nodes) *nodes = nullptr;
  if (edges) *edges = nullptr;
  if (count) *count = 0;
  return cudaSuccess;
}
API cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* made_graph, cudaGraph_t, unsigned long long) {
  return (cudaError_t)made((void**)made_graph);
}
API cudaError_t cudaGraphGetNodes(cudaGraph_t, cudaGraphNode_t*, size_t* count) { *count = 1; return cudaSuccess; }
API cudaError_t cudaGraphLaunch(cudaGraphExec_t, cudaStream_t) { no_device_count("graph"); return cudaSuccess; }

// -- memory: pages that are never written to take no room
API cudaError_t cudaMalloc(void** place, size_t size) {
  if (used + size > MEMORY) return cudaErrorMemoryAllocation;
  *place = nullptr;
  if (!size) return cudaSuccess;
  *place = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  std::lock_guard<std::mutex> guard(lock);
  device()[(char*)*place] = size;
  used += size;
  return cudaSuccess;
}
API cudaError_t cudaFree(void* place) {
  std::lock_guard<std::mutex> guard(lock);
  auto range = device().find((char*)place);
  if (range == device().end()) return cudaSuccess;
  munmap(place, range->second);
  used -= range->second;
  device().erase(range);
  return cudaSuccess;
}
API cudaError_t cudaHostRegister(void* place, size_t size, unsigned) {
  std::lock_guard<std::mutex> guard(lock);
  pinned()[(char*)place] = size;
  return cudaSuccess;
}
API cudaError_t cudaHostUnregister(void* place) {
  std::lock_guard<std::mutex> guard(lock);
  pinned().erase((char*)place);
  return cudaSuccess;
}
API cudaError_t cudaHostAlloc(void** place, size_t size, unsigned) {
  *place = calloc(size, 1);
  return cudaHostRegister(*place, size, 0);
}
API cudaError_t cudaFreeHost(void* place) {
  cudaHostUnregister(place);
  free(place);
  return cudaSuccess;
}
API cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* all, const void* place) {
  std::lock_guard<std::mutex> guard(lock);
  *all = {};
  all->type = within(device(), place) ? cudaMemoryTypeDevice
              : within(pinned(), place) ? cudaMemoryTypeHost : cudaMemoryTypeUnregistered;
  all->devicePointer = all->type == cudaMemoryTypeUnregistered ? nullptr : (void*)place;
  return cudaSuccess;
}
API cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size, cudaMemcpyKind kind, cudaStream_t) {
  no_device_count("copy");
  bool pageable = false;
  {
    std::lock_guard<std::mutex> guard(lock);
    bool there = within(device(), to), here = !within(device(), from);
    if (kind == cudaMemcpyHostToDevice) pageable = !within(pinned(), from);
    if (kind == cudaMemcpyDeviceToHost) pageable = !within(pinned(), to);
    if (!there && here) memcpy(to, from, size);
    else if (!there) memset(to, 0, size);
  }
  return pageable ? waits("pageable copy") : cudaSuccess;
}
API cudaError_t cudaMemcpy(void* to, const void* from, size_t size, cudaMemcpyKind kind) {
  return cudaMemcpyAsync(to, from, size, kind, nullptr);
}
API cudaError_t cudaGetSymbolAddress(void** place, const void*) {
  static void* page = nullptr;
  if (!page) cudaMalloc(&page, 1 << 20);
  *place = page;
  return cudaSuccess;
}
API int cuPointerGetAttribute(void* value, int, unsigned long long place) { *(unsigned long long*)value = place; return 0; }

// -- streams and events, whose time is the host's
API cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int) { return (cudaError_t)made((void**)stream); }
API cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) { return (cudaError_t)made((void**)stream); }
API cudaError_t cudaStreamGetPriority(cudaStream_t, int* priority) { *priority = 0; return cudaSuccess; }
API cudaError_t cudaStreamSynchronize(cudaStream_t) { return waits("wait"); }
API cudaError_t cudaDeviceSynchronize() { return waits("wait"); }
API cudaError_t cudaEventSynchronize(cudaEvent_t) { return waits("wait"); }
struct Event { double ms; bool captured; };
API cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) { *event = (cudaEvent_t) new Event{0, false}; return cudaSuccess; }
API cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }
API cudaError_t cudaEventDestroy(cudaEvent_t event) { delete (Event*)event; return cudaSuccess; }
API cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  *(Event*)event = {now.tv_sec * 1e3 + now.tv_nsec * 1e-6, in_capture(stream)};
  return cudaSuccess;
}
API cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned) { return cudaEventRecord(event, stream); }
API cudaError_t cudaEventQuery(cudaEvent_t event) { return capturing && ((Event*)event)->captured ? cudaErrorCapturedEvent : cudaSuccess; }
API cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t from, cudaEvent_t to) {
  *ms = std::max(1e-3, ((Event*)to)->ms - ((Event*)from)->ms);
  return cudaSuccess;
}
API cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (((Event*)event)->captured && capturing && !in_capture(stream)) {
    std::lock_guard<std::mutex> guard(lock);
    joined.push_back(stream);
  }
  return cudaSuccess;
}
API cudaError_t cudaLaunchHostFunc(cudaStream_t, cudaHostFn_t function, void* data) { function(data); return cudaSuccess; }

// -- kernels of CUDA's runtime, and of the driver (Triton)
API void** __cudaRegisterFatBinary(void*) { return (void**)fresh(); }
API char __cudaInitModule(void**) { return 1; }
API cudaError_t __cudaGetKernel(void** kernel, const void* function) { *kernel = (void*)function; return cudaSuccess; }
API cudaError_t cudaLaunchKernel(const void*, dim3, dim3, void**, size_t, cudaStream_t) { return (cudaError_t)ran(); }
API cudaError_t __cudaLaunchKernel(void*, dim3, dim3, void**, size_t, cudaStream_t) { return (cudaError_t)ran(); }
API cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t*, const void*, void**) { return (cudaError_t)ran(); }
API int cuLaunchKernel() { return ran(); }
API int cuLaunchKernelEx() { return ran(); }
static thread_local struct { dim3 grid, block; size_t shared; void* stream; } launch;
API unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, void* stream) { launch = {grid, block, shared, stream}; return 0; }
API cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void* stream) {
  *grid = launch.grid;
  *block = launch.block;
  *shared = launch.shared;
  *(void**)stream = launch.stream;
  return cudaSuccess;
}
API cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* all, const void*) {
  *all = {};
  all->maxThreadsPerBlock = 1024;
  all->numRegs = 32;
  all->ptxVersion = all->binaryVersion = 90;
  return cudaSuccess;
}
API cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void*, int, size_t, unsigned) { *blocks = 2; return cudaSuccess; }
API int cuFuncGetAttribute(int* value, int which, void*) { *value = which == 0 ? 1024 : which == 4 ? 32 : 0; return 0; }
API int cuOccupancyMaxActiveClusters(int* clusters) { *clusters = 8; return 0; }
API int cuDeviceGet(int* number, int) { *number = 0; return 0; }
API int cuDriverGetVersion(int* version) { *version = CUDART_VERSION; return 0; }
API int cuDeviceGetAttribute(int* value, int which, int) { *value = attribute(which); return 0; }
API int cuDevicePrimaryCtxGetState(int, unsigned* flags, int* active) { *flags = 0; *active = 1; return 0; }
API int cuDevicePrimaryCtxRetain(void** context, int) { *context = (void*)16; return 0; }
API int cuCtxGetCurrent(void** context) { *context = (void*)16; return 0; }
API int cuCtxGetDevice(int* number) { *number = 0; return 0; }
API int cuGetErrorString(int, const char** text) { *text = "an error of no device"; return 0; }
API int cuModuleLoadData(void** module, const void*) { return made(module); }
API int cuModuleGetFunction(void** function, void*, const char*) { return made(function); }
API const char* cudaGetErrorString(cudaError_t) { return "an error of no device"; }
API const char* cudaGetErrorName(cudaError_t) { return "no device"; }
API cudaError_t cudaGetDriverEntryPointByVersion(
    const char* name, void** function, unsigned, unsigned long long, cudaDriverEntryPointQueryResult* found) {
  *function = dlsym(RTLD_DEFAULT, name);
  if (found) *found = *function ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}

// -- cuBLAS
struct Heuristic { uint64_t algorithm[8]; size_t workspace; int state; float waves; int reserved[4]; };
API int cublasCreate_v2(void** handle) { return made(handle); }
API int cublasGetMathMode(void*, int* mode) { *mode = 0; return 0; }
API int cublasGetPointerMode_v2(void*, int* mode) { *mode = 0; return 0; }
API int cublasLtMatmulDescCreate(void** handle, int, int) { return made(handle); }
API int cublasLtMatrixLayoutCreate(void** handle, int, uint64_t, uint64_t, int64_t) { return made(handle); }
API int cublasLtMatmulPreferenceCreate(void** handle) { return made(handle); }
API int cublasLtMatmulAlgoGetHeuristic(void*, void*, void*, void*, void*, void*, void*, int, Heuristic* one, int* count) { *one = {}; *count = 1; return 0; }
API int cublasLtMatmul() { return ran(); }
API int cublasGemmEx() { return ran(); }
API int cublasGemmStridedBatchedEx() { return ran(); }
API int cublasSgemm_v2() { return ran(); }
API int cublasSgemmStridedBatched() { return ran(); }

// -- cuDNN, its older interface (TORCH_CUDNN_V8_API_DISABLED), which convolves in float32 and float16
struct Algorithm { int number, status; float time; size_t memory; int determinism, math, reserved[3]; };
static int only(int* count, Algorithm* one) { *one = {1, 0, 1, 0, 0, 0, {}}; *count = 1; return 0; }
API int cudnnCreate(void** handle) { return made(handle); }
API size_t cudnnGetVersion() { return CUDNN_VERSION; }
API size_t cudnnGetCudartVersion() { return CUDART_VERSION; }
API void cudnnGetLastErrorString(char* text, size_t size) { if (size) *text = 0; }
#define DESCRIPTOR(name) API int cudnnCreate##name##Descriptor(void** handle) { return made(handle); }
DESCRIPTOR(Activation) DESCRIPTOR(Convolution) DESCRIPTOR(Dropout) DESCRIPTOR(Filter) DESCRIPTOR(Pooling) DESCRIPTOR(Tensor)
#define CONVOLUTION(name) \
  API int cudnnGetConvolution##name##Algorithm_v7(void*, void*, void*, void*, void*, int, int* count, Algorithm* one) { return only(count, one); } \
  API int cudnnGetConvolution##name##WorkspaceSize(void*, void*, void*, void*, void*, int, size_t* size) { *size = 0; return 0; } \
  API int cudnnConvolution##name() { return ran(); }
CONVOLUTION(Forward) CONVOLUTION(BackwardData) CONVOLUTION(BackwardFilter)
API int cudnnPoolingForward() { return ran(); }
API int cudnnBatchNormalizationForwardInference() { return ran(); }
API int cudnnBatchNormalizationForwardTrainingEx() { return ran(); }
API int cudnnBatchNormalizationBackwardEx() { return ran(); }
API int cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize(void*, int, int, void*, void*, void*, void*, void*, size_t* size) { *size = 0; return 0; }
API int cudnnGetBatchNormalizationBackwardExWorkspaceSize(void*, int, int, void*, void*, void*, void*, void*, void*, void*, size_t* size) { *size = 0; return 0; }
API int cudnnGetBatchNormalizationTrainingExReserveSpaceSize(void*, int, int, void*, void*, size_t* size) { *size = 0; return 0; }
