/** A draw by counting, with the kernels that hardware gets, chooses the token that WebAssembly chooses by narrow digits: with ties all over the parts. */
import { expect, test } from "vitest"
import { compileFile } from "../../compiler/compile-file.js"
import { everyStatement } from "../../compiler/ir/loop-visit.js"
import { samplingFields } from "../../dsl/sampling.js"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import { loadProgram } from "../../runtime/index.js"
import { runs } from "../laws/settings.js"
import { interpretedDevice } from "../support/interpreted.js"
import { generator } from "../targets/wasm-support.js"
import { vocabulary } from "./counting-program.js"

const bitsOf = (x: number) => new Uint32Array(Float32Array.of(x).buffer)[0]!

test("digits of eight bits choose as digits of two bits do", async () => {
  const file = "test/dsl/counting-program.ts"
  const { compilation: wide } = await compileFile(file, {}, "cuda", {})
  const { compilation: narrow } = await compileFile(file, {}, "wasm", {})
  const adding = wide.kernels.filter(({ loops }) =>
    everyStatement(loops.body).some((s) => s.kind === "store" && s.adds),
  )
  expect(adding.length).toBeGreaterThanOrEqual(4)
  using byCounting = await loadProgram(wide.artifact, { device: interpretedDevice(wide, "loop", 32) })
  using byComparing = await loadProgram(narrow.artifact, { device: await createWasmDevice({ threads: 1 }) })
  const random = generator(3)
  for (let step = 0; step < runs(2); step++) {
    const logits = Float32Array.from({ length: vocabulary }, () => Math.floor(random() * 4) - (step % 2) * random())
    const settings = { temperature: bitsOf(0.8), topK: 900, topP: bitsOf(0.6 + 0.2 * (step % 3)), minP: 0, seedLow: 5 }
    const sampling = Uint32Array.from(samplingFields, (f) => ({ ...settings, seedHigh: 7, step })[f])
    const [a, b] = [await byCounting.run({ logits, sampling }), await byComparing.run({ logits, sampling })]
    expect(a.token!.data, `step ${step}`).toEqual(b.token!.data)
    expect(a.token!.data[0]).toBeGreaterThanOrEqual(0)
  }
})
