/**
 * Finds a WebGPU adapter: the page's own `navigator.gpu`, else the optional package `webgpu` (Dawn for Node).
 *
 *   const { gpu, adapter } = await findAdapter({ adapter: "any" })
 *
 * `hardware` refuses software implementations, `null` is Dawn's backend that validates and computes nothing. Toggles are Dawn's; a leading
 * `-` turns one off. The object that Dawn's `create` returns stays in `instances` for ever: dropping it crashes Node at the next collection.
 */
import { WeftError } from "../../errors.js"
import { hostText } from "../../host.js"
import { experimentalToggles } from "./matrices.js"

export interface WebgpuOptions {
  readonly adapter?: "hardware" | "any" | "null"
  /** Dawn's toggles, in Node only; `-name` disables one. */
  readonly toggles?: readonly string[]
  /**
   * Dawn looks at no access of a kernel and validates no command: for artifacts whose accesses are proven, others are refused. In Node only; what
   * a page has always looks.
   */
  readonly unchecked?: boolean
  /**
   * Asks for subgroup matrices, which are experimental: in a page where its adapter offers them; in Node Dawn's unsafe interfaces are let in, and f16 on
   * GPUs of NVIDIA. They are used when they are right in a test on the device.
   */
  readonly experimentalGpu?: boolean
}

/** Dawn's toggles that leave out its clamps of offsets, and its validation of commands. */
const uncheckedToggles = ["disable_robustness", "skip_validation"]

const ownImplementation = (): GPU | undefined => (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu

/** Whether checks are left out: they are asked to be, and the implementation is one that can. */
export const leavesChecksOut = ({ adapter, unchecked = false }: WebgpuOptions): boolean =>
  unchecked && (ownImplementation() === undefined || adapter === "null")

/** Whether what is experimental is asked of Dawn: a page has it or not. */
const asksDawn = ({ adapter, experimentalGpu = false }: WebgpuOptions): boolean =>
  experimentalGpu && (ownImplementation() === undefined || adapter === "null")

const instances = new Map<string, GPU>()

export async function findAdapter(options: WebgpuOptions): Promise<GPUAdapter> {
  const toggles: unknown = options?.toggles ?? []
  if (typeof options !== "object" || !Array.isArray(toggles) || !toggles.every((t) => typeof t === "string"))
    throw new WeftError("device/option", `the options of the device are ${hostText(options)}`, {
      hint: 'they are like { adapter: "any", toggles: ["name"] }',
    })
  const more = [
    ...(leavesChecksOut(options) ? uncheckedToggles : []),
    ...(asksDawn(options) ? experimentalToggles : []),
  ]
  const gpu = await implementation({ ...options, toggles: [...toggles, ...more] })
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" })
  if (adapter === null)
    throw new WeftError("webgpu/no-adapter", "no WebGPU adapter was found", {
      hint: "on a machine without a GPU, install Mesa's software driver: scripts/software-adapter.sh",
    })
  if (options.adapter === "hardware" && isSoftware(adapter.info))
    throw new WeftError("webgpu/no-adapter", `the only WebGPU adapter is software: ${describe(adapter.info)}`)
  return adapter
}

async function implementation({ adapter = "any", toggles = [] }: WebgpuOptions): Promise<GPU> {
  const own = ownImplementation()
  if (own !== undefined && adapter !== "null" && toggles.length === 0) return own
  const flags = [
    ...(adapter === "null" ? ["backend=null"] : []),
    ...flag(
      "enable-dawn-features",
      toggles.filter((t) => !t.startsWith("-")),
    ),
    ...flag(
      "disable-dawn-features",
      toggles.filter((t) => t.startsWith("-")).map((t) => t.slice(1)),
    ),
  ]
  const key = flags.join(" ")
  const known = instances.get(key)
  if (known !== undefined) return known
  const made = (await dawn()).create(flags)
  instances.set(key, made)
  return made
}

const flag = (name: string, values: readonly string[]) => (values.length === 0 ? [] : [`${name}=${values.join(",")}`])

async function dawn(): Promise<{ create(flags: readonly string[]): GPU }> {
  // A name in a variable, so that a bundler of a page leaves the import alone.
  const name = "webgpu"
  try {
    return await import(/* @vite-ignore */ name)
  } catch (cause) {
    throw new WeftError("webgpu/missing", "this environment has no WebGPU", {
      hint: "in Node, install the package 'webgpu'; in a page, use a browser with WebGPU",
      cause,
    })
  }
}

export function isSoftware(info: GPUAdapterInfo): boolean {
  const type = (info as { type?: string }).type ?? ""
  return info.isFallbackAdapter || /^cpu$/i.test(type) || /llvmpipe|swiftshader|lavapipe|softpipe/i.test(describe(info))
}

/** Vendor, architecture and description in one line for people. */
export function describe(info: GPUAdapterInfo): string {
  const parts = [info.vendor, info.architecture, info.device, info.description].filter((s) => s !== "")
  return [...new Set(parts)].join(" ") || "unnamed adapter"
}
