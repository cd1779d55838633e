/** Compiles a checkpoint for a target; `session.ts` runs it. */
import { join } from "node:path"
import { expect } from "vitest"
import { type Compilation, type CompileOptions, compileProgram } from "../../compiler/compile.js"
import { loadModel } from "../../compiler/frontend/load.js"
import type { Model } from "../../dsl/index.js"
import type { ArtifactTarget } from "../../runtime/artifact.js"
import type { Device } from "../../runtime/devices/device.js"
import type { WebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import type { Checkpoint } from "../../runtime/weights/checkpoint.js"
import { root } from "./goldens.js"

let model: Promise<Model> | undefined
export const qwen3 = (): Promise<Model> =>
  (model ??= loadModel(join(root, "models", "qwen3.ts")).then((m) => m.module.model as Model))

export async function compileCheckpoint(
  checkpoint: Checkpoint,
  target: ArtifactTarget,
  options: Partial<CompileOptions> = {},
): Promise<Compilation> {
  const program = (await qwen3()).configure(checkpoint.config)
  const compilation = compileProgram(program, "qwen3", { target, storage: () => "bf16", verify: true, ...options })
  expect(unsureKernels(compilation)).toEqual([])
  return compilation
}

/** Kernels with an access that is not proven to lie in its buffer, or lies there by a clamp that the model has not asked for. */
export const unsureKernels = ({ kernels }: Compilation): readonly string[] =>
  kernels.flatMap(({ loops, proven, clamped }) => (proven && clamped === 0 ? [] : [`${loops.name}: ${clamped}`]))

/** What the compiler may know of a device's adapter. */
export const adapterOf = (device: Device): Pick<CompileOptions, "adapter"> =>
  "adapterInfo" in device ? { adapter: { subgroupSize: (device as WebgpuDevice).adapterInfo.subgroupMinSize } } : {}
