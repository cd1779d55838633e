/** What a decode step of a published config may cost on any target; held where the config is compiled anyway. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, test } from "vitest"
import type { Compilation } from "../../compiler/compile.js"
import { type Facts, factsOf } from "../../compiler/explain/facts.js"
import { root } from "../support/goldens.js"

const sizes = new Map([
  ["past", 1024],
  ["seq", 1],
])

export function claimsOfStep(name: string, compilation: () => Compilation): void {
  let known: Facts | undefined
  const facts = (): Facts => (known ??= factsOf(compilation(), sizes))

  test("moves at most 1.05 times the weights and the cache that it needs, read once", () => {
    const { step } = facts()
    expect(step!.floorBytes).toBeGreaterThan(1e9)
    expect(step!.bytes / step!.floorBytes).toBeLessThanOrEqual(1.05)
  })
  test("computes at most 1.1 times the operations of the unfused program", () => {
    const { step } = facts()
    expect(step!.operations / step!.unfusedOperations).toBeLessThanOrEqual(1.1)
  })
  test("launches at most 7 kernels for a dense layer, 9 for one of experts", () => {
    const { dense, moe } = facts().kernelsPerLayer
    expect(dense === null).toBe(name.includes("-a"))
    expect(moe === null).toBe(!name.includes("-a"))
    expect(dense ?? 0).toBeLessThanOrEqual(7)
    expect(moe ?? 0).toBeLessThanOrEqual(9)
  })
  test("counts the launches that the plan has", () => {
    const { kernelsPerLayer } = facts()
    const layers = name.includes("-a") ? kernelsPerLayer.moe! : kernelsPerLayer.dense!
    const launches = compilation().artifact.entries.step!.launches.length
    const config = JSON.parse(readFileSync(join(root, "test", "configs", `${name}.json`), "utf8"))
    const around = launches - layers * config.num_hidden_layers
    expect(around).toBeGreaterThanOrEqual(2)
    expect(around).toBeLessThan(10)
  })
}
