/** Compiles a checkpoint for a target; `session.ts` runs it. */
import { join } from "node:path"
import { expect } from "vitest"
import { type Compilation, type CompileOptions, compileProgram } from "../../compiler/compile.js"
import { loadModel } from "../../compiler/frontend/load.js"
import type { Model } from "../../dsl/index.js"
import { families } from "../../models/index.js"
import type { ArtifactTarget } from "../../runtime/artifact.js"
import type { Device } from "../../runtime/devices/device.js"
import type { WebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import type { Checkpoint } from "../../runtime/weights/checkpoint.js"
import { formatNamed } from "../../runtime/weights/formats/named.js"
import { root } from "./goldens.js"

const loaded = new Map<string, Promise<Model>>()

/** The model of a family, by the `model_type` of its configs. */
export function modelOf(family: string): Promise<Model> {
  const file = families[family]!
  const model = loaded.get(file) ?? loadModel(join(root, "models", file)).then((m) => m.module.model as Model)
  loaded.set(file, model)
  return model
}
export const qwen3 = (): Promise<Model> => modelOf("qwen3")

export async function compileCheckpoint(
  checkpoint: Checkpoint,
  target: ArtifactTarget,
  options: Partial<CompileOptions> = {},
): Promise<Compilation> {
  const family = String((checkpoint.config as { model_type?: unknown }).model_type)
  const program = (await modelOf(family)).configure(checkpoint.config)
  const compilation = compileProgram(program, family, { target, storage: () => "bf16", verify: true, ...options })
  expect(unsureKernels(compilation)).toEqual([])
  return compilation
}

/** Like `compileCheckpoint`, for tensors as they are stored, in formats or as numbers of several kinds: accesses are proven, some by a clamp. */
export async function compileStored(
  checkpoint: Checkpoint,
  target: ArtifactTarget,
  options: Partial<CompileOptions> = {},
): Promise<Compilation> {
  const family = String(checkpoint.config.model_type)
  const program = (await modelOf(family)).configure(checkpoint.config)
  const storage: CompileOptions["storage"] = ({ tensors: [name] }) => {
    const { dtype } = checkpoint.tensors.get(name!)!
    return formatNamed(dtype) ?? (dtype.toLowerCase() as "bf16" | "f16" | "f32")
  }
  const compilation = compileProgram(program, family, { target, storage, verify: true, ...options })
  expect(compilation.kernels.filter((k) => !k.proven).map((k) => k.loops.name)).toEqual([])
  return compilation
}

/** Kernels with an access that is not proven to lie in its buffer, or lies there by a clamp that the model has not asked for. */
export const unsureKernels = ({ kernels }: Compilation): readonly string[] =>
  kernels.flatMap(({ loops, proven, clamped }) => (proven && clamped === 0 ? [] : [`${loops.name}: ${clamped}`]))

/** What the compiler may know of a device's adapter. */
export const adapterOf = (device: Device): Pick<CompileOptions, "adapter"> =>
  "adapterInfo" in device ? { adapter: { subgroupSize: (device as WebgpuDevice).adapterInfo.subgroupMinSize } } : {}
