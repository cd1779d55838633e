/**
 * The device that a name asks for.
 *
 *     auto     a WebGPU adapter that is hardware, else WebAssembly
 *     webgpu   any WebGPU adapter, a software one included
 *     wasm     WebAssembly
 */
import { tmpdir } from "node:os"
import type { AdapterFacts } from "../compiler/ir/machine.js"
import { type Artifact, type ArtifactTarget, defaultPrecision, isProven, type Precision } from "../runtime/artifact.js"
import type { Device } from "../runtime/devices/device.js"
import { createWasmDevice } from "../runtime/devices/wasm/device.js"
import { createWebgpuDevice } from "../runtime/devices/webgpu/device.js"
import { WeftError } from "../runtime/errors.js"
import { hostText } from "../runtime/host.js"

export type DeviceName = "auto" | ArtifactTarget
export const deviceNames: readonly DeviceName[] = ["auto", "webgpu", "wasm"]

/**
 * How what kernels touch is kept within their buffers: `checked` by the device at each access, or `proven` by the compiler, so that Dawn leaves
 * out its own clamps and validation. Devices other than Dawn's have one way.
 */
export const accessesNames = ["checked", "proven"] as const
export type Accesses = (typeof accessesNames)[number]

export interface ChosenDevice {
  readonly device: Device
  /** What the compiler may know of a WebGPU adapter. */
  readonly adapter?: AdapterFacts
  /** For people, after the device's description. */
  readonly reason: string
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
  kind === "webgpu" && !fallback ? "fast" : defaultPrecision

/**
 * The device for an artifact: opened again, with checks, where they are left out and the artifact's accesses are not all proven.
 *
 * @throws WeftError `device/unproven` when they are to be, by `asked`
 */
export async function deviceForArtifact(
  chosen: ChosenDevice,
  artifact: Artifact,
  { device: name = "auto", threads, accesses }: DeviceChoice,
): Promise<ChosenDevice> {
  if (accesses === "proven" && !isProven(artifact))
    throw new WeftError("device/unproven", "not all accesses of the artifact's kernels are proven", {
      hint: "leave the option 'accesses' out, or compile the model again with this version of Weft",
    })
  if (chosen.device.unchecked !== true || isProven(artifact)) return chosen
  chosen.device.dispose()
  return chooseDevice(name, threads)
}

/** What a host may choose of a device. */
export interface DeviceChoice {
  readonly device?: DeviceName | undefined
  readonly threads?: number | undefined
  readonly accesses?: Accesses | undefined
}

/**
 * @param accesses `proven`: of an artifact that was compiled here, or that is trusted
 * @param threads of the WebAssembly device; as many as there are processors when left out
 * @throws WeftError `device/name`, `device/threads`, and for `webgpu` what keeps its device from opening
 */
export async function chooseDevice(
  name: DeviceName,
  threads?: number,
  accesses: Accesses = "checked",
): Promise<ChosenDevice> {
  if (!deviceNames.includes(name))
    throw new WeftError("device/name", `there is no device ${hostText(name)}`, {
      hint: `the devices are ${deviceNames.join(", ")}`,
    })
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= 256))
    throw new WeftError("device/threads", `threads is ${hostText(threads)}; it is a whole number from 1 to 256`)
  // Vulkan's loader complains on standard error where no desktop session has set it.
  if (process.platform === "linux") process.env.XDG_RUNTIME_DIR ??= tmpdir()
  const wasm = () => createWasmDevice(threads === undefined ? {} : { threads })
  const webgpu = async (adapter: "any" | "hardware") => {
    const device = await createWebgpuDevice({ adapter, unchecked: accesses === "proven" })
    const { adapterInfo, limits } = device
    const { workgroupBytes, storageBuffers, f16 } = adapterInfo.limits
    const facts = { workgroupBytes, storageBuffers, f16, bindingBytes: limits.bindingBytes }
    const how = device.unchecked === true ? "; accesses are proven, not checked" : ""
    return { device, adapter: { subgroupSize: adapterInfo.subgroupMinSize, ...facts }, how }
  }
  if (name === "wasm") return { device: await wasm(), reason: "as asked" }
  const because = ({ how, ...found }: Awaited<ReturnType<typeof webgpu>>, why: string) => ({
    ...found,
    reason: `${why}${how}`,
  })
  if (name === "webgpu") return because(await webgpu("any"), "as asked")
  try {
    return because(await webgpu("hardware"), "a hardware WebGPU adapter is present")
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    return { device: await wasm(), reason: why.split("\n")[0]! }
  }
}
