/** Floors use the units that a target can emit: a product that matrix units may do has a floor of their rate, whether its kernel takes them or not. */
import { expect, test } from "vitest"
import { deviceOn, devices } from "../../compiler/explain/devices.js"
import { compilationCosts } from "../../compiler/explain/kernels.js"
import { compileFile } from "../../compiler/internal.js"
import type { Precision } from "../../runtime/artifact.js"
import { extents } from "./product.js"

const device = deviceOn(devices["nvidia-h200"]!, "cuda")!
const operations = 2 * extents.row * extents.out * extents.k

async function costs(precision: Precision) {
  const { compilation } = await compileFile("test/explain/product.ts", {}, "cuda", { precision })
  const { entries, kernels } = compilationCosts(compilation, () => new Map(), device)
  const product = kernels.reduce((a, b) => (b.operations > a.operations ? b : a))
  return { entry: entries.run!, product }
}

test("with precision fast CUDA has matrix units: a product takes them, and its floor is theirs", async () => {
  const { entry, product } = await costs("fast")
  expect(product.atom).toMatch(/^w?g?mma\.m/)
  const slowest = 1e6 * (operations / 500e12)
  expect(product.floorMicroseconds).toBeLessThanOrEqual(Math.max(slowest, (1e6 * product.bytes) / 4.55e12))
  expect(entry.floorMicroseconds).toBeLessThanOrEqual(slowest)
  expect(entry.unfusedProducts).toBe(operations)
  expect(product.parts!["matrix units"]).toBeGreaterThanOrEqual(operations / 790e12)
})

test("with precision exact they take no product of two f32", async () => {
  const { entry, product } = await costs("exact")
  expect(product.atom).toBeNull()
  expect(product.floorMicroseconds).toBeGreaterThanOrEqual(1e6 * (operations / 60e12))
  expect(entry.floorMicroseconds).toBeGreaterThanOrEqual(1e6 * (operations / 60e12))
  expect(product.parts!["matrix units"]).toBe(0)
})
