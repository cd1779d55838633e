/**
 * Compiles kernels into pipelines, all at once and asynchronously, with explicit bind-group layouts.
 *
 *   binding 0    the size symbols (uniform)
 *   binding 1…   the kernel's buffers in order: "read" is read-only storage, the others are storage
 *
 * Kernels with one access pattern share a layout, kernels with one text share a pipeline. A kernel that does not compile is reported with its
 * name and the line of WGSL.
 */
import type { ArtifactKernel } from "../../artifact.js"
import { WeftError } from "../../errors.js"
import type { MatrixSupport } from "../../matrices.js"
import type { CompiledKernel } from "../device.js"
import { computeStage } from "./constants.js"
import { matrixFeature, matrixWords } from "./matrices.js"
import { watch } from "./scopes.js"

export interface WebgpuKernel extends CompiledKernel {
  readonly pipeline: GPUComputePipeline
  readonly layout: GPUBindGroupLayout
  readonly bindings: number
}

export interface Pipelines {
  /** Lets go of all of them. */
  clear(): void
  compile(kernels: readonly ArtifactKernel[]): Promise<readonly WebgpuKernel[]>
}

interface Layout {
  readonly group: GPUBindGroupLayout
  readonly pipeline: GPUPipelineLayout
  readonly error: Promise<GPUError | undefined>
}

/** What kernels may ask of an adapter. */
interface Offers {
  /** Lanes of the smallest subgroup that the adapter may run; 0 without subgroups. */
  readonly subgroupMinSize: number
  readonly matrices: MatrixSupport
}

export function createPipelines(device: GPUDevice, offers: Offers, made: () => void): Pipelines {
  const layouts = new Map<string, Layout>()
  const pipelines = new Map<string, Promise<GPUComputePipeline>>()

  const layoutOf = (kernel: ArtifactKernel) => {
    const kinds = kernel.bindings.map(
      (b): GPUBufferBindingType => (b.access === "read" ? "read-only-storage" : "storage"),
    )
    const key = kinds.join(" ")
    const known = layouts.get(key)
    if (known !== undefined) return known
    const types: GPUBufferBindingType[] = ["uniform", ...kinds]
    const { made, error } = watch(device, () => {
      const group = device.createBindGroupLayout({
        entries: types.map((type, binding) => ({ binding, visibility: computeStage, buffer: { type } })),
      })
      return { group, pipeline: device.createPipelineLayout({ bindGroupLayouts: [group] }) }
    })
    const layout = { ...made, error }
    layouts.set(key, layout)
    return layout
  }

  const pipelineOf = (kernel: ArtifactKernel, layout: GPUPipelineLayout): Promise<GPUComputePipeline> => {
    const key = `${kernel.bindings.map((b) => (b.access === "read" ? "r" : "w")).join("")}\n${kernel.source}`
    const known = pipelines.get(key)
    if (known !== undefined) return known
    const promise = createPipeline(device, kernel, layout).then((pipeline) => {
      made()
      return pipeline
    })
    pipelines.set(key, promise)
    promise.catch(() => pipelines.delete(key))
    return promise
  }

  return {
    async compile(kernels) {
      for (const kernel of kernels) checkFeatures(device, offers, kernel)
      const settled = await Promise.allSettled(
        kernels.map(async (kernel) => {
          const layout = layoutOf(kernel)
          const [pipeline, problem] = await Promise.allSettled([pipelineOf(kernel, layout.pipeline), layout.error])
          // What is wrong with a layout is the cause of what is wrong with its pipelines.
          if (problem.status === "fulfilled" && problem.value !== undefined)
            throw new WeftError(
              "webgpu/kernel",
              `kernel '${kernel.name}' binds what the device cannot: ${problem.value.message}`,
            )
          if (pipeline.status === "rejected") throw pipeline.reason
          return { name: kernel.name, pipeline: pipeline.value, layout: layout.group, bindings: kernel.bindings.length }
        }),
      )
      return settled.map((s) => {
        if (s.status === "rejected") throw s.reason
        return s.value
      })
    },
    clear() {
      layouts.clear()
      pipelines.clear()
    },
  }
}

/** The features that stand behind what a shader enables. */
const features: Readonly<Record<string, GPUFeatureName>> = {
  f16: "shader-f16",
  subgroups: "subgroups",
  chromium_experimental_subgroup_matrix: matrixFeature,
}

/** An exchange of values between lanes, as kernels spell it, with its mask at the end. */
const exchange = /subgroupShuffleXor\(.*, (\d+)u\)(?: != \w+(?:<\w+>)?\(\))?;$/gm

/** Lanes that do not lie in one subgroup would exchange nothing, and nobody would say so. */
function checkFeatures(device: GPUDevice, offers: Offers, { name, source }: ArtifactKernel): void {
  const { subgroupMinSize: subgroupSize, matrices } = offers
  const refuse = (
    needed: string,
    hint = "compile the model for the adapter that runs it, or for any: `weft compile` without a device",
  ) => {
    throw new WeftError("webgpu/feature", `kernel '${name}' needs ${needed}`, { hint })
  }
  for (const [, extension] of source.matchAll(/^enable (\w+);/gm)) {
    const feature = features[extension!]
    if (feature === matrixFeature && matrices.spelling === undefined)
      refuse(
        `'${feature}': subgroup matrices are ${matrixWords(matrices)} on this device`,
        "open the device with experimentalGpu (--experimental-gpu), or compile the model again without",
      )
    if (feature !== undefined && !device.features.has(feature)) refuse(`'${feature}', which this adapter does not have`)
  }
  for (const [, mask] of source.matchAll(exchange))
    if (Number(mask) >= subgroupSize)
      refuse(`subgroups of ${2 * Number(mask)} lanes; those of this adapter may have ${subgroupSize}`)
}

async function createPipeline(
  device: GPUDevice,
  kernel: ArtifactKernel,
  layout: GPUPipelineLayout,
): Promise<GPUComputePipeline> {
  device.pushErrorScope("validation")
  const module = device.createShaderModule({ code: kernel.source, label: kernel.name })
  const problem = device.popErrorScope()
  const pipeline = device.createComputePipelineAsync({
    label: kernel.name,
    layout,
    compute: { module, entryPoint: "main" },
  })
  try {
    const [made] = await Promise.all([pipeline, problem])
    return made
  } catch (cause) {
    throw new WeftError("webgpu/kernel", `kernel '${kernel.name}': ${await explain(module, kernel.source, cause)}`, {
      cause,
    })
  }
}

/** The first error of the shader compiler with its line, else what the pipeline said. */
async function explain(module: GPUShaderModule, source: string, cause: unknown): Promise<string> {
  const messages = (await module.getCompilationInfo()).messages
  const first = messages.find((m) => m.type === "error")
  if (first === undefined) return cause instanceof Error ? cause.message : String(cause)
  const line = source.split("\n")[first.lineNum - 1] ?? ""
  return `${first.message} (WGSL ${first.lineNum}:${first.linePos})\n\n${first.lineNum} | ${line}`
}
