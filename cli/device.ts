/**
 * The device that a name asks for.
 *
 *     auto     CUDA where a driver and a compiler of kernels are, else a WebGPU adapter that is hardware, else WebAssembly
 *     cuda     NVIDIA's driver
 *     webgpu   any WebGPU adapter, a software one included
 *     wasm     WebAssembly
 */
import { tmpdir } from "node:os"
import type { AdapterFacts } from "../compiler/ir/machine.js"
import {
  type Artifact,
  type ArtifactTarget,
  defaultPrecision,
  isProven,
  type Precision,
  targetNames,
} from "../runtime/artifact.js"
import type { Device } from "../runtime/devices/device.js"
import { createWasmDevice } from "../runtime/devices/wasm/device.js"
import type { WebgpuOptions } from "../runtime/devices/webgpu/adapter.js"
import { createWebgpuDevice } from "../runtime/devices/webgpu/device.js"
import { matrixWords } from "../runtime/devices/webgpu/matrices.js"
import { fault, thrownText, WeftError } from "../runtime/errors.js"
import { hostText } from "../runtime/host.js"

export type DeviceName = "auto" | ArtifactTarget
export const deviceNames: readonly DeviceName[] = ["auto", ...targetNames]

/**
 * How what kernels touch is kept within their buffers: `checked` by the device at each access, or `proven` by the compiler, so that Dawn leaves
 * out its own clamps and validation. Devices other than Dawn's have one way: a page and WebAssembly always check, CUDA never does.
 */
export const accessesNames = ["checked", "proven"] as const
export type Accesses = (typeof accessesNames)[number]

export interface ChosenDevice {
  readonly device: Device
  /** What the compiler may know of a GPU. */
  readonly adapter?: AdapterFacts
  /** For people, after the device's description. */
  readonly reason: string
  /** What was asked for and is not there. */
  readonly warning?: string
}

/**
 * The name of the device for an artifact: its own, which must be what was asked for, if anything was.
 *
 * @throws WeftError `device/target`
 */
export function deviceNameFor(artifact: Artifact | undefined, asked: DeviceName = "auto"): DeviceName {
  if (artifact === undefined || !deviceNames.includes(asked)) return asked
  if (asked === "auto" || asked === artifact.target) return artifact.target
  throw new WeftError("device/target", `the artifact is for ${artifact.target}, but the device is to be '${asked}'`, {
    hint: "leave the option 'device' out, or compile the model again for it",
  })
}

/** The precision that a device gains by: of hardware with memory of its own. */
export const precisionFor = ({ kind, fallback }: Pick<Device, "kind" | "fallback">): Precision =>
  kind !== "wasm" && !fallback ? "fast" : defaultPrecision

/**
 * The device for an artifact: opened again, with checks, where they are left out and the artifact's accesses are not all proven.
 *
 * @throws WeftError `device/unproven` when they are to be, by `asked`
 */
export async function deviceForArtifact(
  chosen: ChosenDevice,
  artifact: Artifact,
  { device: name = "auto", threads, accesses, experimentalGpu }: DeviceChoice,
): Promise<ChosenDevice> {
  const isChecked = chosen.device.unchecked !== true
  // Nothing on CUDA looks at what kernels touch.
  if ((accesses === "proven" || (chosen.device.kind === "cuda" && !isChecked)) && !isProven(artifact))
    throw new WeftError("device/unproven", "not all accesses of the artifact's kernels are proven", {
      hint:
        chosen.device.kind === "cuda"
          ? "compile the model again with this version of Weft, or for webgpu, whose device checks"
          : "leave the option 'accesses' out, or compile the model again with this version of Weft",
    })
  if (isChecked || isProven(artifact)) return chosen
  chosen.device.dispose()
  return chooseDevice(name, threads, "checked", experimentalGpu)
}

/** What a host may choose of a device. */
export interface DeviceChoice {
  readonly device?: DeviceName | undefined
  readonly threads?: number | undefined
  readonly accesses?: Accesses | undefined
  readonly experimentalGpu?: boolean | undefined
}

/**
 * @param accesses `proven`: of an artifact that was compiled here, or that is trusted; `checked`: by a device that looks, which CUDA is not; the
 * device's own way when left out, which is to look where it can
 * @param experimentalGpu WebGPU with subgroup matrices, where they are right in a test; nothing to other devices
 * @param threads of the WebAssembly device; as many as there are processors when left out
 * @throws WeftError `device/name`, `device/threads`, `device/unchecked`, and for `cuda` and `webgpu` what keeps their device from opening
 */
export async function chooseDevice(
  name: DeviceName,
  threads?: number,
  accesses?: Accesses,
  experimentalGpu = false,
): Promise<ChosenDevice> {
  if (!deviceNames.includes(name))
    throw new WeftError("device/name", `there is no device ${hostText(name)}`, {
      hint: `the devices are ${deviceNames.join(", ")}`,
    })
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= 256))
    throw new WeftError("device/threads", `threads is ${hostText(threads)}; it is a whole number from 1 to 256`)
  const unchecked = accesses === "proven"
  const webgpu = (adapter: "any" | "hardware", reason: string) =>
    openWebgpu({ adapter, unchecked, experimentalGpu }, reason)
  const wasm = async (reason: string): Promise<ChosenDevice> => ({
    device: await createWasmDevice(threads === undefined ? {} : { threads }),
    reason,
  })
  const cuda = async (open: () => Promise<ChosenDevice>) => {
    if (accesses === "checked") throw uncheckedCuda()
    return open()
  }
  switch (name) {
    case "cuda":
      return cuda(() => openCuda("as asked"))
    case "webgpu":
      return webgpu("any", "as asked")
    case "wasm":
      return wasm("as asked")
    case "auto":
      return firstOf([
        () => cuda(openReadyCuda),
        () => webgpu("hardware", "a hardware WebGPU adapter is present"),
        () => wasm(""),
      ])
    default:
      return name satisfies never
  }
}

async function openWebgpu(options: WebgpuOptions, reason: string): Promise<ChosenDevice> {
  // Vulkan's loader complains on standard error where no desktop session has set it.
  if (process.platform === "linux") process.env.XDG_RUNTIME_DIR ??= tmpdir()
  const device = await createWebgpuDevice(options)
  const { adapterInfo, limits } = device
  const { matrices, subgroupMinSize: subgroupSize } = adapterInfo
  const { workgroupBytes, storageBuffers, f16 } = adapterInfo.limits
  const spelled = matrices.spelling === undefined ? {} : { matrices: matrices.spelling }
  const facts = { subgroupSize, workgroupBytes, storageBuffers, f16, bindingBytes: limits.bindingBytes, ...spelled }
  const how = [
    reason,
    ...(device.unchecked === true ? ["accesses are proven, not checked"] : []),
    ...(matrices.spelling === undefined ? [] : ["with subgroup matrices, which are experimental"]),
  ]
  const refused = matrices.refused === undefined ? {} : { warning: `subgroup matrices are ${matrixWords(matrices)}` }
  return { device, adapter: facts, reason: how.join("; "), ...refused }
}

const uncheckedCuda = () =>
  new WeftError(
    "device/unchecked",
    "nothing on CUDA checks what kernels touch, and an artifact's binaries are run as they are",
    {
      hint: "accesses: 'proven' runs an artifact as a program that you trust; else compile the model here, or for webgpu, whose device checks",
    },
  )

/** What kernels may use of a GPU of NVIDIA: lanes that exchange values, as many on every one, and what its architecture has. */
export const cudaAdapter = (capability: number): AdapterFacts => ({ subgroupSize: 32, capability })

/** Loaded when it is asked for: most machines have no such device. */
async function openCuda(reason: string): Promise<ChosenDevice> {
  const { createCudaDevice } = await import("../runtime/devices/cuda/device.js")
  const { architectureOf } = await import("../runtime/devices/cuda/compilers/architectures.js")
  const device = await createCudaDevice()
  return { device, adapter: cudaAdapter(architectureOf(device.facts.arch)!.capability), reason }
}

/** @throws WeftError `cuda/missing` where a model that is compiled here could not be loaded there */
async function openReadyCuda(): Promise<ChosenDevice> {
  const missing = (what: string) => new WeftError("cuda/missing", what)
  const { findLibrary } = await import("../runtime/devices/cuda/libraries.js")
  if (findLibrary("driver").path === undefined) throw missing("no CUDA driver was found")
  const { findCompilers } = await import("../runtime/devices/cuda/compilers/find.js")
  const [compiler] = findCompilers().compilers
  if (compiler === undefined) throw missing("a CUDA driver, but neither NVRTC nor nvcc was found")
  return openCuda(`a CUDA driver and ${compiler.description} are present`)
}

/**
 * The first device that opens, with the reason why, and why not one of those before it.
 *
 * @throws what keeps the last one from opening
 */
export async function firstOf(openings: readonly (() => Promise<ChosenDevice>)[]): Promise<ChosenDevice> {
  const missing: string[] = []
  for (const [i, open] of openings.entries())
    try {
      const found = await open()
      return { ...found, reason: [found.reason, ...missing].filter((reason) => reason !== "").join("; ") }
    } catch (error) {
      if (i === openings.length - 1) throw error
      missing.push(thrownText(error).split("\n")[0]!)
    }
  throw fault("no device is named")
}
