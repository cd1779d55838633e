/**
 * What a decode step of published Qwen3 configs costs, against what the model asks for: the bytes of weights and cached values read once, and
 * the arithmetic of computing each tensor once. And the numbers of kernels.
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { beforeAll, describe, expect, test } from "vitest"
import { type Compilation, compileProgram } from "../../compiler/compile.js"
import { devices } from "../../compiler/explain/devices.js"
import { type Facts, factsOf } from "../../compiler/explain/facts.js"
import type { ArtifactTarget } from "../../runtime/artifact.js"
import { qwen3 } from "../support/driver.js"
import { root } from "../support/goldens.js"

const configs = ["qwen3-0.6b", "qwen3-1.7b", "qwen3-8b", "qwen3-30b-a3b", "qwen3-235b-a22b"] as const
const sizes = new Map([
  ["past", 1024],
  ["seq", 1],
])

async function compiled(name: string, target: ArtifactTarget, entries?: readonly string[]): Promise<Compilation> {
  const config = JSON.parse(readFileSync(join(root, "test", "configs", `${name}.json`), "utf8"))
  const adapter = target === "webgpu" ? { adapter: devices["nvidia-h200"]!.adapter } : {}
  const only = entries === undefined ? {} : { entries }
  return compileProgram((await qwen3()).configure(config), "qwen3", {
    target,
    storage: () => "bf16",
    ...adapter,
    ...only,
  })
}

describe.each(["webgpu", "wasm"] as const)("a decode step on %s", (target) => {
  describe.each(configs)("%s", (name) => {
    let compilation: Compilation
    let facts: Facts
    beforeAll(async () => {
      compilation = await compiled(name, target, ["step"])
      facts = factsOf(compilation, sizes)
    })

    test("moves at most 1.05 times the weights and the cache that it needs, read once", () => {
      expect(facts.step!.floorBytes).toBeGreaterThan(1e9)
      expect(facts.step!.bytes / facts.step!.floorBytes).toBeLessThanOrEqual(1.05)
    })
    test("computes at most 1.1 times the operations of the unfused program", () => {
      expect(facts.step!.operations / facts.step!.unfusedOperations).toBeLessThanOrEqual(1.1)
    })
    test("launches at most 7 kernels for a dense layer, 9 for one of experts", () => {
      const { dense, moe } = facts.kernelsPerLayer
      expect(dense === null).toBe(name.includes("-a"))
      expect(moe === null).toBe(!name.includes("-a"))
      expect(dense ?? 0).toBeLessThanOrEqual(7)
      expect(moe ?? 0).toBeLessThanOrEqual(9)
    })
    test("counts the launches that the plan has", () => {
      const layers = name.includes("-a") ? facts.kernelsPerLayer.moe! : facts.kernelsPerLayer.dense!
      const launches = compilation.artifact.entries.step!.launches.length
      const config = JSON.parse(readFileSync(join(root, "test", "configs", `${name}.json`), "utf8"))
      const around = launches - layers * config.num_hidden_layers
      expect(around).toBeGreaterThanOrEqual(2)
      expect(around).toBeLessThan(10)
    })
  })
})

test("the weights' bytes are those of the config: 596 million parameters of two bytes", async () => {
  const { weightBytes } = factsOf(await compiled("qwen3-0.6b", "wasm", ["step"]), sizes)
  expect(weightBytes / 2).toBe(596_049_920)
})
