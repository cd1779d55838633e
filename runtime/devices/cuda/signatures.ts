/**
 * NVIDIA's driver: the signatures of its functions, by koffi.
 *
 *     const driver = await loadDriver()
 *     const memory = driver.allocate(1 << 20)          cuMemAlloc_v2
 *
 * They are those of cuda.h 13.0, of functions that are there since CUDA 12.0.
 */
import { thrownText, WeftError } from "../../errors.js"
import { type Driver, driverError } from "./driver.js"
import { type Koffi, loadKoffi } from "./foreign.js"
import { findLibrary, libraryVariables } from "./libraries.js"

/** Of the host's threads that wait: they sleep. */
const blockingSync = 4
const nonBlockingStream = 1
/** An event without times, whose waiters sleep. */
const eventFlags = 2 | 1
/** An event with times, whose waiters sleep. */
const clockFlags = 1
/** Of a record in a capture: a node of the graph, whose event the host may ask. */
const externalRecord = 1
const maxDynamicSharedBytes = 8
const captureOfThisThread = 1
const programmaticSerialization = 6
const notReady = 600
const notFound = 500

/** Numbers, texts and memory as koffi takes them; a list of one is where a function writes what it gives. */
type Given = number | string | Uint8Array | (number | bigint)[]
type Native = (...given: Given[]) => number

/** @throws WeftError `cuda/missing` where there is no driver or no koffi, `cuda/driver` with what the driver says, as where it finds no GPU */
export async function loadDriver(): Promise<Driver> {
  const { path, looked } = findLibrary("driver")
  if (path === undefined)
    throw new WeftError("cuda/missing", `NVIDIA's driver was not found; looked for ${looked.join(", ")}`, {
      hint: `install the driver, or name its library: ${libraryVariables.driver}=/path/libcuda.so.1`,
    })
  const koffi = await loadKoffi()
  try {
    return bindDriver(koffi, path)
  } catch (cause) {
    if (cause instanceof WeftError) throw cause
    throw new WeftError("cuda/missing", `${path} cannot be used: ${thrownText(cause)}`, {
      hint: "Weft needs a driver of CUDA 12.0 or later",
      cause,
    })
  }
}

/** Opens a library and initialises it. @throws WeftError `cuda/driver`; an Error when the file is no such library */
export function bindDriver(koffi: Koffi, path: string): Driver {
  const library = koffi.load(path)
  const bind = (definition: string) => library.func(`int ${definition}`) as unknown as Native
  const nameOf = library.func("int cuGetErrorName(int result, _Out_ const char **name)")
  const textOf = library.func("int cuGetErrorString(int result, _Out_ const char **text)")
  const fail = (call: string, result: number) => {
    const read = (get: (result: number, text: [string | null]) => number) => {
      const text: [string | null] = [null]
      return get(result, text) === 0 ? text[0] : null
    }
    return driverError(call, result, read(nameOf) ?? "no name", read(textOf) ?? "no text")
  }
  /** A function that returns nothing but its result. */
  const plain = (definition: string) => {
    const native = bind(definition)
    const name = nameIn(definition)
    return (...given: Given[]): void => {
      const result = native(...given)
      if (result !== 0) throw fail(name, result)
    }
  }
  /** A function whose first parameter is where it writes what it gives. */
  const giving = (definition: string) => {
    const native = bind(definition)
    const name = nameIn(definition)
    return (...given: Given[]): number => {
      const out: (number | bigint)[] = [0]
      const result = native(out, ...given)
      if (result !== 0) throw fail(name, result)
      return Number(out[0])
    }
  }
  plain("cuInit(uint32_t flags)")(0)
  const binding = { bind, plain, giving, fail }
  return {
    ...bindDevices(binding),
    ...bindContexts(binding),
    ...bindMemory(koffi, binding),
    ...bindEvents(binding),
    ...bindKernels(koffi, binding),
  }
}

const nameIn = (definition: string): string => definition.slice(0, definition.indexOf("(")).replace(/_v\d+$/, "")

interface Binding {
  bind(definition: string): Native
  plain(definition: string): (...given: Given[]) => void
  giving(definition: string): (...given: Given[]) => number
  fail(call: string, result: number): Error
}

type Kernels =
  | "loadModule"
  | "unloadModule"
  | "kernel"
  | "allowShared"
  | "describe"
  | "beginCapture"
  | "launch"
  | "endCapture"
type Graphs = "instantiate" | "destroyGraph" | "uploadGraph" | "launchGraph" | "destroyExecutable"

type Devices = "version" | "deviceCount" | "device" | "deviceName" | "attribute" | "totalMemory"
type Contexts = "createContext" | "useContext" | "destroyContext" | "createStream" | "destroyStream" | "synchronize"
type Memory = "memory" | "allocate" | "free" | "allocateHost" | "freeHost" | "zero" | "toDevice" | "toHost"

function bindDevices({ bind, giving, fail }: Binding): Pick<Driver, Devices> {
  const name = bind("cuDeviceGetName(uint8_t *name, int length, int device)")
  const attribute = giving("cuDeviceGetAttribute(_Out_ int *value, int attribute, int device)")
  return {
    version: giving("cuDriverGetVersion(_Out_ int *version)"),
    deviceCount: giving("cuDeviceGetCount(_Out_ int *count)"),
    device: giving("cuDeviceGet(_Out_ int *device, int ordinal)"),
    deviceName(device) {
      const text = new Uint8Array(256)
      const result = name(text, text.length, device)
      if (result !== 0) throw fail("cuDeviceGetName", result)
      return new TextDecoder().decode(text.subarray(0, text.indexOf(0)))
    },
    attribute: (device, wanted) => attribute(wanted, device),
    totalMemory: giving("cuDeviceTotalMem_v2(_Out_ size_t *bytes, int device)"),
  }
}

function bindContexts({ plain, giving }: Binding): Pick<Driver, Contexts> {
  const createContext = giving("cuCtxCreate_v2(_Out_ uintptr_t *context, uint32_t flags, int device)")
  const createStream = giving("cuStreamCreate(_Out_ uintptr_t *stream, uint32_t flags)")
  return {
    createContext: (device) => createContext(blockingSync, device),
    useContext: plain("cuCtxSetCurrent(uintptr_t context)"),
    destroyContext: plain("cuCtxDestroy_v2(uintptr_t context)"),
    createStream: () => createStream(nonBlockingStream),
    destroyStream: plain("cuStreamDestroy_v2(uintptr_t stream)"),
    synchronize: plain("cuStreamSynchronize(uintptr_t stream)"),
  }
}

function bindMemory(koffi: Koffi, { bind, plain, giving, fail }: Binding): Pick<Driver, Memory> {
  const memory = bind("cuMemGetInfo_v2(_Out_ size_t *free, _Out_ size_t *total)")
  const allocateHost = giving("cuMemHostAlloc(_Out_ uintptr_t *pointer, size_t bytes, uint32_t flags)")
  const freeHost = plain("cuMemFreeHost(uintptr_t pointer)")
  const zero = plain("cuMemsetD8Async(uintptr_t pointer, uint8_t value, size_t bytes, uintptr_t stream)")
  return {
    memory() {
      const [free, total]: [(number | bigint)[], (number | bigint)[]] = [[0], [0]]
      const result = memory(free, total)
      if (result !== 0) throw fail("cuMemGetInfo", result)
      return { free: Number(free[0]), total: Number(total[0]) }
    },
    allocate: giving("cuMemAlloc_v2(_Out_ uintptr_t *pointer, size_t bytes)"),
    free: plain("cuMemFree_v2(uintptr_t pointer)"),
    allocateHost(bytes) {
      const pointer = allocateHost(bytes, 0)
      return { pointer, bytes: new Uint8Array(koffi.view(BigInt(pointer), bytes)) }
    },
    freeHost: ({ pointer }) => freeHost(pointer),
    zero: (pointer, bytes, stream) => zero(pointer, 0, bytes, stream),
    toDevice: plain("cuMemcpyHtoDAsync_v2(uintptr_t to, uintptr_t from, size_t bytes, uintptr_t stream)"),
    toHost: plain("cuMemcpyDtoHAsync_v2(uintptr_t to, uintptr_t from, size_t bytes, uintptr_t stream)"),
  }
}

type Events = Omit<Driver, Devices | Contexts | Memory | Kernels | Graphs>

function bindEvents({ bind, plain, giving, fail }: Binding): Events {
  const createEvent = giving("cuEventCreate(_Out_ uintptr_t *event, uint32_t flags)")
  const mark = plain("cuEventRecordWithFlags(uintptr_t event, uintptr_t stream, uint32_t flags)")
  const query = bind("cuEventQuery(uintptr_t event)")
  const waitFor = "cuEventSynchronize(uintptr_t event)"
  const waitAside = bind(waitFor) as unknown as {
    async(event: number, then: (error: Error | null, result: number) => void): void
  }
  return {
    createEvent: () => createEvent(eventFlags),
    destroyEvent: plain("cuEventDestroy_v2(uintptr_t event)"),
    record: plain("cuEventRecord(uintptr_t event, uintptr_t stream)"),
    createClock: () => createEvent(clockFlags),
    mark: (clock, stream) => mark(clock, stream, externalRecord),
    elapsed: giving("cuEventElapsedTime(_Out_ float *milliseconds, uintptr_t from, uintptr_t to)"),
    isDone(event) {
      const result = query(event)
      if (result !== 0 && result !== notReady) throw fail("cuEventQuery", result)
      return result === 0
    },
    wait: plain(waitFor),
    whenDone: (event) =>
      new Promise((resolve, reject) => {
        waitAside.async(event, (error, result) => {
          if (error === null && result === 0) resolve()
          else reject(error ?? fail("cuEventSynchronize", result))
        })
      }),
  }
}

/** Where a launch is spelled for the driver: CUlaunchConfig, its attribute, addresses of parameters, parameters; descriptions of matrices last. */
const [attributeAt, addressesAt, mostParameters, mostMatrices] = [64, 256, 1024, 30]
/** Bytes of a CUtensorMap, and at whose multiples one lies. */
const [matrixBytes, matrixAlignment] = [128, 128]
/** CUtensorMapDataType, and CUtensorMapSwizzle by the bytes of a row. */
const matrixTypes = { u32: 2, i32: 3, f16: 6, f32: 7, bf16: 9 } as const
const swizzles: Readonly<Record<number, number>> = { 32: 1, 64: 2, 128: 3 }
/** CUtensorMapL2promotion: whole rows of 128 bytes are brought to the second cache. */
const wholeRows = 2

function bindKernels(koffi: Koffi, { plain, giving, bind, fail }: Binding): Pick<Driver, Kernels | Graphs> {
  const loadModule = giving("cuModuleLoadData(_Out_ uintptr_t *module, const uint8_t *image)")
  const kernel = bind("cuModuleGetFunction(_Out_ uintptr_t *kernel, uintptr_t module, const char *name)")
  const setAttribute = plain("cuFuncSetAttribute(uintptr_t kernel, int attribute, int value)")
  const beginCapture = plain("cuStreamBeginCapture_v2(uintptr_t stream, int mode)")
  const endCapture = bind("cuStreamEndCapture(uintptr_t stream, _Out_ uintptr_t *graph)")
  const launch = plain("cuLaunchKernelEx(uintptr_t config, uintptr_t kernel, uintptr_t parameters, uintptr_t extra)")
  const encode = plain(
    "cuTensorMapEncodeTiled(uintptr_t map, int type, uint32_t rank, uintptr_t address, const uint64_t *extents, const uint64_t *strides, const uint32_t *box, const uint32_t *steps, int interleave, int swizzle, int promotion, int fill)",
  )
  const instantiate = giving(
    "cuGraphInstantiateWithFlags(_Out_ uintptr_t *executable, uintptr_t graph, uint64_t flags)",
  )
  const described = addressesAt + 16 * mostParameters
  const bytes = described + mostMatrices * matrixBytes + matrixAlignment
  const at = Number(koffi.address(koffi.alloc("uint8_t", bytes)))
  const words = new DataView(koffi.view(BigInt(at), bytes))
  const matricesAt = described + ((matrixAlignment - ((at + described) % matrixAlignment)) % matrixAlignment)
  const matrixMemory = new Uint8Array(words.buffer, words.byteOffset + matricesAt, mostMatrices * matrixBytes)
  const setAddress = (offset: number, value: number) => words.setBigUint64(offset, BigInt(value), true)
  return {
    loadModule,
    unloadModule: plain("cuModuleUnload(uintptr_t module)"),
    kernel(module, symbol) {
      const out: (number | bigint)[] = [0]
      const result = kernel(out, module, symbol)
      if (result !== 0)
        throw fail(result === notFound ? `cuModuleGetFunction('${symbol}')` : "cuModuleGetFunction", result)
      return Number(out[0])
    },
    allowShared: (of, count) => setAttribute(of, maxDynamicSharedBytes, count),
    describe({ pointer, storage, rows, columns, stride, box: [height, width] }) {
      const bytes = storage === "bf16" || storage === "f16" ? 2 : 4
      const [type, swizzle] = [matrixTypes[storage], swizzles[width * bytes] ?? 0]
      const [extents, strides] = [[columns, rows], [stride * bytes]]
      encode(at + matricesAt, type, 2, pointer, extents, strides, [width, height], [1, 1], 0, swizzle, wholeRows, 0)
      return matrixMemory.slice(0, matrixBytes)
    },
    beginCapture: (stream) => beginCapture(stream, captureOfThisThread),
    launch({ kernel: of, groups, threads, sharedBytes, parameters, early }, stream) {
      for (const [i, size] of [groups, 1, 1, threads, 1, 1, sharedBytes].entries()) words.setUint32(4 * i, size, true)
      setAddress(32, stream)
      setAddress(40, at + attributeAt)
      words.setUint32(48, early ? 1 : 0, true)
      words.setUint32(attributeAt, programmaticSerialization, true)
      words.setUint32(attributeAt + 8, 1, true)
      const valuesAt = addressesAt + 8 * parameters.length
      let matrices = 0
      for (const [i, value] of parameters.entries()) {
        if (typeof value === "number") {
          setAddress(addressesAt + 8 * i, at + valuesAt + 8 * i)
          setAddress(valuesAt + 8 * i, value)
        } else {
          setAddress(addressesAt + 8 * i, at + matricesAt + matrices)
          matrixMemory.set(value, matrices)
          matrices += matrixBytes
        }
      }
      launch(at, of, at + addressesAt, 0)
    },
    endCapture(stream) {
      const out: (number | bigint)[] = [0]
      const result = endCapture(stream, out)
      if (result !== 0) throw fail("cuStreamEndCapture", result)
      return Number(out[0])
    },
    instantiate: (graph) => instantiate(graph, 0),
    destroyGraph: plain("cuGraphDestroy(uintptr_t graph)"),
    uploadGraph: plain("cuGraphUpload(uintptr_t executable, uintptr_t stream)"),
    launchGraph: plain("cuGraphLaunch(uintptr_t executable, uintptr_t stream)"),
    destroyExecutable: plain("cuGraphExecDestroy(uintptr_t executable)"),
  }
}
