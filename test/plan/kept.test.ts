/** What is kept of a sequence, by count: bytes of states do not follow the context where layers see a window, and a step reads the window. */
import { expect, test } from "vitest"
import { stateBytesPerToken } from "../../cli/bench/traffic.js"
import { type Compilation, compileProgram } from "../../compiler/compile.js"
import { trafficOf } from "../../compiler/explain/traffic.js"
import { extentAt } from "../../compiler/ir/dim.js"
import { evaluate } from "../../compiler/ir/expression.js"
import { nodesOf } from "../../compiler/ir/query.js"
import { kernelSteps } from "../../compiler/kernel/divide-bindings.js"
import { mostAhead } from "../../runtime/artifact.js"
import { memoryOf } from "../../runtime/memory.js"
import { compileCheckpoint, modelOf } from "../support/driver.js"
import { loadGolden } from "../support/goldens.js"

const golden = await loadGolden("qwen3-window-long")
/** Of one key or value. */
const rowBytes = 2 * 24 * 4
const [window, chunk] = [16, 32]
const compiled = (context: number, rows = chunk): Promise<Compilation> =>
  compileCheckpoint(golden.checkpoint, "wasm", { context, chunk: rows, entries: ["prefill", "step"] })
/** Of all layers' keys and values, without the logits and the token. */
const cacheBytes = ({ artifact }: Compilation) => memoryOf(artifact).state - golden.vocabulary * 4 - 16 - 12

test("one layer sees all, two see a window: twice the context is twice the rows of the first alone", async () => {
  const [short, long] = [await compiled(128), await compiled(512)]
  const kept = 2 * (window + chunk)
  expect(cacheBytes(short)).toBe(2 * rowBytes * (128 + kept))
  expect(cacheBytes(long)).toBe(2 * rowBytes * (512 + kept))
  // Pieces of one token: what may be let go of steps ahead has room.
  expect(cacheBytes(await compiled(512, 1))).toBe(2 * rowBytes * (512 + 2 * (window + mostAhead)))
  // A context that has no more rows than would be kept is all there.
  expect(cacheBytes(await compiled(40))).toBe(2 * rowBytes * (3 * 40))
})

test.each([
  [10, 11],
  [300, 301],
])("a step after %i tokens reads %i rows of what is all there, and a window of the others", async (past, all) => {
  const compilation = await compiled(512)
  const rows = [...kernelSteps(compilation.entries.find((e) => e.name === "step")!.program).keys()].flatMap(
    ({ kernel }) =>
      trafficOf(kernel, new Map([["past", past]])).flatMap(({ buffer, read }) => {
        const { shape } = kernel.buffers.find((b) => b.name === buffer)!
        return shape.length === 3 && shape[2] === 24 && shape[0]! >= window && read > 0 ? [[shape[0], read / 48]] : []
      }),
  )
  const seen = Math.min(window, all)
  const room = window + chunk
  expect(rows.sort((a, b) => a[0]! - b[0]!)).toEqual([
    [room, seen],
    [room, seen],
    [512, all],
    [512, all],
  ])
  expect(stateBytesPerToken(compilation.artifact, past)).toBe(2 * rowBytes * (past + 2 * Math.min(window, past)))
})

test("parts of a step's fold have what the window has, and all of them some, however long the sequence is", async () => {
  const config = {
    num_attention_heads: 32,
    num_key_value_heads: 8,
    head_dim: 64,
    hidden_size: 256,
    intermediate_size: 256,
  }
  const program = (await modelOf("mistral")).configure({
    ...config,
    model_type: "mistral",
    vocab_size: 64,
    num_hidden_layers: 1,
    sliding_window: 2048,
    max_position_embeddings: 65536,
  })
  const compilation = compileProgram(program, "mistral", { target: "cuda", storage: () => "bf16", entries: ["step"] })
  compilation.within(() => {
    const [parts] = compilation.kernels.filter((k) => /parts$/.test(k.kernel.name))
    const [store] = parts!.kernel.items.filter((i) => i.kind === "store")
    const [fold] = nodesOf([store!.value], "reduce").filter(
      (r) => r.monoid.kind === "online" || r.monoid.kind === "max",
    )
    for (const past of [100, 2047, 5000, 60_000]) {
      const sizes = new Map([["past", past]])
      const count = extentAt(store!.axes[0]!.extent, sizes)
      const lengths = Array.from({ length: count }, (_, i) =>
        evaluate(fold!.extent, new Map([...sizes, [store!.axes[0]!.name, i]])),
      )
      const seen = Math.min(2048, past + 1)
      const all = lengths.reduce((a, b) => a + b, 0)
      expect(all, `after ${past}`).toBeGreaterThanOrEqual(seen)
      expect(all, `after ${past}`).toBeLessThan(seen + 16)
      // Parts are multiples of 16, so that the last ones may be empty.
      expect(lengths.filter((n) => n > 0).length).toBeGreaterThan(count * 0.7)
    }
  })
})
