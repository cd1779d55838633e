/** Weights in parts: whatever a device binds at once, the numbers are those of the whole. */
import { describe, expect, test } from "vitest"
import type { ArtifactTarget, ArtifactWeight } from "../../runtime/artifact.js"
import { checkArtifact } from "../../runtime/artifact-check.js"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import { createWebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { memoryOf } from "../../runtime/memory.js"
import { createSession } from "../../runtime/session.js"
import { available } from "../devices/conformance.js"
import { long, seed } from "../laws/settings.js"
import { compileConfig } from "../support/configs.js"
import { adapterOf, compileCheckpoint } from "../support/driver.js"
import { loadGolden, normalisedError } from "../support/goldens.js"
import { interpretedDevice } from "../support/interpreted.js"
import { logitsOf, openSession } from "../support/session.js"

const devices = { wasm: () => createWasmDevice({ threads: 1 }), webgpu: () => createWebgpuDevice({ adapter: "any" }) }
const present = { wasm: await available("wasm", devices.wasm), webgpu: await available("webgpu", devices.webgpu) }
const smallest = 2 ** 27

/** One of experts, and in each run one of the others, by its seed. */
const dense = ["qwen3-0.6b", "qwen3-8b"] as const
const published = ["qwen3-30b-a3b", ...(long ? dense : [dense[seed % 2]!])] as const

describe("published models on a device that binds 8 buffers of 128 MiB", () => {
  test.each(published)("%s: no weight is larger, none is lost", async (name) => {
    const parts = await compileConfig(name, "webgpu", { bindingBytes: smallest })
    // One entry that reads all weights says how they lie.
    const whole = await compileConfig(name, "webgpu", { bindingBytes: 2 ** 32, entries: ["logits"] })
    expect(checkArtifact(parts.artifact)).toBe(parts.artifact)
    for (const b of parts.artifact.buffers.filter((b) => b.role === "weight"))
      expect(b.bytes, b.name).toBeLessThanOrEqual(smallest)
    for (const k of parts.artifact.kernels) expect(k.bindings.length).toBeLessThanOrEqual(8)
    expect(memoryOf(parts.artifact).weights).toBe(memoryOf(whole.artifact).weights)
    // Each tensor is uploaded once and whole.
    const bytes = new Map<string, number>()
    for (const w of parts.artifact.weights)
      bytes.set(w.tensor, (bytes.get(w.tensor) ?? 0) + (w.part ? w.part.end - w.part.begin : bytesOf(w)))
    for (const w of whole.artifact.weights) expect(bytes.get(w.tensor), w.tensor).toBe(bytesOf(w))
  })
})

const bytesOf = ({ shape }: ArtifactWeight) => 2 * shape.reduce((n, s) => n * s, 1)

describe("goldens with tiny bindings", () => {
  const run = async (name: string, target: ArtifactTarget, bindingBytes: number, device?: keyof typeof devices) => {
    const golden = await loadGolden(name)
    const opened = device && (await devices[device]())
    const options = { ...(opened && adapterOf(opened)), entries: ["logits"], bindingBytes }
    const compilation = await compileCheckpoint(golden.checkpoint, target, options)
    expect(compilation.artifact.weights.filter((w) => w.part !== undefined).length).toBeGreaterThan(0)
    const session = await openSession(
      compilation,
      opened ?? interpretedDevice(compilation, "kernel"),
      golden.checkpoint,
    )
    const logits = await logitsOf(session, golden.ids[0]!.slice(0, 5), 3)
    expect(normalisedError(logits, golden.logits[0]!.subarray(0, logits.length))).toBeLessThan(1e-8)
    session.dispose()
    opened?.dispose()
    await golden.checkpoint.close()
  }
  const limits = [
    ["qwen3-tied", 2000],
    ["qwen3-tied", 4096],
    ["qwen3-moe", 4096],
    ["qwen3-moe-mixed", 6000],
  ] as const
  test.skipIf(!present.wasm).each(limits)("%s, %i bytes, on WebAssembly", (name, bytes) =>
    run(name, "wasm", bytes, "wasm"),
  )
  // Eight buffers at once: tables are gathered from in several turns.
  test.each([limits[0], limits[3]])("%s, %i bytes, kernels for WebGPU interpreted", (name, bytes) =>
    run(name, "webgpu", bytes),
  )
  test.skipIf(!present.webgpu || !(long || seed % 2 === 0))("qwen3-moe, 6000 bytes, on WebGPU", () =>
    run("qwen3-moe", "webgpu", 6000, "webgpu"),
  )
})

describe("a table of 152 k rows, gathered from and contracted with, in bindings of 128 MiB", () => {
  const embed = 1024
  const vocabulary = 151_936
  const config = {
    hidden_size: embed,
    num_hidden_layers: 1,
    num_attention_heads: 1,
    num_key_value_heads: 1,
    head_dim: 16,
    intermediate_size: 16,
    tie_word_embeddings: true,
  }
  /** The bits of an element of the table: ±(1 … 2) · 2^-6. */
  const element = (i: number) => elements[i % elements.length]!
  /** A prime number of them, so that rows differ. */
  const elements = Uint16Array.from(
    { length: 262_139 },
    (_, i) => 0x3c80 ^ ((Math.imul(i, 0x9e3779b1) >>> 13) & 0x807f),
  )
  const float = new Float32Array(1)
  const word = new Uint32Array(float.buffer)
  const widened = (bits: number): number => {
    word[0] = bits << 16
    return float[0]!
  }

  test.skipIf(!present.webgpu || !(long || seed % 2 === 1))("logits on WebGPU are those of float64", async () => {
    const device = await devices.webgpu()
    const options = { ...adapterOf(device), entries: ["logits"], bindingBytes: smallest, context: 16, chunk: 4, config }
    const { artifact } = await compileConfig("qwen3-0.6b", "webgpu", options)
    const table = artifact.weights.filter((w) => w.tensor === "model.embed_tokens.weight")
    expect(table.map((w) => w.part!.end - w.part!.begin)).toEqual([
      smallest,
      smallest,
      vocabulary * 2048 - 2 * smallest,
    ])
    let largest = 0
    // Norms are 1, the layer adds nothing: the logits are products of rows of the table.
    const session = await createSession(artifact, device, {
      async read({ tensor, shape }, offset, length) {
        largest = Math.max(largest, length)
        const data = new Uint16Array(length / 2)
        if (tensor === "model.embed_tokens.weight")
          for (let i = 0, at = (offset / 2) % elements.length; i < data.length; at = 0) {
            const part = elements.subarray(at, at + data.length - i)
            data.set(part, i)
            i += part.length
          }
        else data.fill(shape.length === 1 ? 0x3f80 : 0)
        return new Uint8Array(data.buffer)
      },
    })
    expect(largest).toBeLessThanOrEqual(16 << 20)
    const tokens = [5, 65_535, 65_536, 151_935]
    const logits = await logitsOf(session, tokens, 4)
    const row = (at: number) => Float64Array.from({ length: embed }, (_, k) => widened(element(at * embed + k)))
    const sampled = [0, 1, 65_535, 65_536, 100_000, 131_071, 131_072, 151_935, ...tokens]
    const expected: number[] = []
    const found: number[] = []
    for (const [i, token] of tokens.entries()) {
      const x = row(token)
      const scale = 1 / Math.sqrt(x.reduce((n, v) => n + v * v, 0) / embed + 1e-6)
      for (const at of sampled) {
        expected.push(row(at).reduce((n, w, k) => n + w * x[k]! * scale, 0))
        found.push(logits[i * vocabulary + at]!)
      }
    }
    expect(normalisedError(found, expected)).toBeLessThan(1e-8)
    session.dispose()
    device.dispose()
  })
})
