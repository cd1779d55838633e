/** The programs at full size for a card, by target and name: see bench.mjs. */
import { deviceOn, devices } from "../../compiler/explain/devices.js"
import { compileFile, kernelCosts } from "../../compiler/internal.js"
import type { Artifact } from "../../runtime/artifact.js"
import type { Binary } from "../../runtime/devices/cuda/compilers/architectures.js"
import { compilerFor } from "../../runtime/devices/cuda/compilers/find.js"
import { modulesAhead } from "../../runtime/devices/cuda/compilers/modules.js"
import { names } from "./references.js"

export type Artifacts = Readonly<Record<string, Artifact>>

/** @param binaries what to compile the kernels for ahead of time; none: whoever runs them has a compiler */
export async function compilePrograms(binaries: readonly Binary[]): Promise<Artifacts> {
  const made: Record<string, Artifact> = {}
  const record = devices["nvidia-h200"]!
  for (const target of ["cuda", "webgpu"] as const)
    for (const name of names) {
      const options = target === "webgpu" ? { adapter: record.adapter } : {}
      const { compilation } = await compileFile(`test/floors/${name}.ts`, {}, target, options)
      const costs = kernelCosts(compilation, "run", new Map(), deviceOn(record, target))
      const total = costs.reduce((sum, c) => sum + c.launches * c.estimatedMicroseconds!, 0)
      console.error(`${target} ${name}: ${costs.length} kernels, ${total.toFixed(0)} µs by estimate on an H200`)
      const ahead = target === "cuda" && binaries.length > 0
      made[`${target} ${name}`] = ahead
        ? {
            ...compilation.artifact,
            modules: await modulesAhead(compilation.artifact, binaries, (await compilerFor(binaries)).compiler),
          }
        : compilation.artifact
    }
  return made
}
