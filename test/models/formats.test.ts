/** A model whose matrices are stored in a format computes what it does with the weights that they decode to. */
import { readFileSync } from "node:fs"
import { afterAll, describe, expect, test } from "vitest"
import { randomWords } from "../../cli/bench/random-formats.js"
import { weightsIn } from "../../cli/subject.js"
import { entryFacts } from "../../compiler/explain/facts.js"
import { compileFile } from "../../compiler/internal.js"
import { model as qwen3 } from "../../models/qwen3.js"
import type { Artifact, Precision } from "../../runtime/artifact.js"
import type { Device } from "../../runtime/devices/device.js"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import { createWebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import type { Checkpoint } from "../../runtime/weights/checkpoint.js"
import { formatNamed } from "../../runtime/weights/formats/named.js"
import { available } from "../devices/conformance.js"
import { long, seed } from "../laws/settings.js"
import { checkpointOf, randomWeight, type StoredWeight } from "../support/formats.js"
import { normalisedError } from "../support/goldens.js"
import { logitsOf, openSession } from "../support/session.js"
import { tensorShapes } from "../support/specs.js"

const dense = {
  model_type: "qwen3",
  vocab_size: 96,
  hidden_size: 256,
  intermediate_size: 512,
  num_hidden_layers: 1,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 64,
  max_position_embeddings: 128,
  eos_token_id: 1,
  tie_word_embeddings: true,
}
const experts = {
  ...dense,
  model_type: "qwen3_moe",
  tie_word_embeddings: false,
  num_experts: 4,
  num_experts_per_tok: 2,
  moe_intermediate_size: 256,
  norm_topk_prob: true,
}
/** Every row takes all of them: which of two near ones it takes is not continuous, and what is rounded may take the other. */
const allExperts = { ...experts, num_experts_per_tok: experts.num_experts }

const formats = [
  "q8_0",
  "q4_0",
  "q4_1",
  "q5_0",
  "q5_1",
  "q4_k",
  "q5_k",
  "q6_k",
  "iq4_nl",
  "iq4_xs",
  "int4-g128",
  "int8-g32-bf16",
  "int4-g64-symmetric",
  "int4-g32-ordered",
  "fp8-128x128",
  "fp8-row",
  "fp8-tensor",
] as const

const wasm = await createWasmDevice({ threads: 1 })
afterAll(() => wasm.dispose())

/** Matrices in a format, vectors in f32; and the same with all in f32. */
function checkpoints(config: object, formatOf: (name: string) => string) {
  const both = [...tensorShapes(qwen3, config)].map(([name, shape], i) => {
    if (shape.length > 1) return randomWeight(name, shape, formatOf(name), seed + i)
    const values = Float32Array.from(randomWords(seed + i, shape[0]!), (word) => 0.75 + word / 2 ** 33)
    const plain: StoredWeight = { name, shape, dtype: "F32", bytes: new Uint8Array(values.buffer) }
    return { stored: plain, plain }
  })
  return [both.map((w) => w.stored), both.map((w) => w.plain)].map((ws) => checkpointOf({ ...config }, ws))
}

const ids = Array.from({ length: 24 }, (_, i) => (i * 37 + 5) % 96)

/** The model with weights in f32 is compiled once for all formats. */
const kept = new Map<unknown, Artifact>()

interface Where {
  readonly device?: Device
  readonly isPlain?: boolean
  readonly precision?: Precision
}

async function artifactOf({ config, tensors }: Checkpoint, { device = wasm, isPlain, precision }: Where) {
  const known = isPlain ? kept.get(config.model_type) : undefined
  if (known !== undefined) return known
  const stored = () => tensors as ReadonlyMap<string, { readonly dtype: "F32" }>
  const options = { tensors: stored, precision, verify: true }
  const { compilation } = await compileFile("models/qwen3.ts", config, device.kind, options)
  if (isPlain) kept.set(config.model_type, compilation.artifact)
  return compilation.artifact
}

async function logits(checkpoint: Checkpoint, chunk: number, where: Where = {}): Promise<Float32Array> {
  const artifact = await artifactOf(checkpoint, where)
  const session = await openSession({ artifact }, where.device ?? wasm, checkpoint)
  const made = await logitsOf(session, ids, chunk)
  session.dispose()
  return made
}

/** One of so many formats in each run, or all of them in a long one. */
const drawn = (of: number) => (long ? formats : formats.filter((_, i) => i % of === seed % of))

describe("logits on WebAssembly", () => {
  test.each(drawn(9))("%s", async (format) => {
    const both = [
      [dense, 24],
      [experts, 7],
    ] as const
    for (const [config, chunk] of long ? both : [both[(seed + formats.indexOf(format)) % 2]!]) {
      const [stored, plain] = checkpoints(config, () => format)
      const expected = await logits(plain!, 24, { isPlain: true })
      expect(Math.max(...expected)).toBeGreaterThan(0.1)
      expect(normalisedError(await logits(stored!, chunk), expected)).toBeLessThan(1e-8)
    }
  })
})

/** i32x4.dot_i16x8_s, and i16x8.shl for bytes with a sign. */
const [dots, bytesUp] = [Buffer.from([0xfd, 0xba, 0x01]), Buffer.from([0xfd, 0x8b, 0x01])]

describe("logits on WebAssembly where they need not be exact, by sums of integers", () => {
  test.each(["q8_0", "q4_k"].filter((_, i) => long || i === seed % 2))("%s", async (format) => {
    const [stored, plain] = checkpoints(allExperts, () => format)
    const expected = await logits(plain!, 24)
    const artifact = await artifactOf(stored!, { precision: "fast" })
    const module = Buffer.from(artifact.module!, "base64")
    expect(module.includes(dots)).toBe(true)
    expect(module.includes(bytesUp)).toBe(format === "q8_0")
    for (const chunk of [24, 7]) {
      const session = await openSession({ artifact }, wasm, stored!)
      expect(normalisedError(await logitsOf(session, ids, chunk), expected)).toBeLessThan(1e-3)
      session.dispose()
    }
  })
})

describe("logits on WebGPU", async () => {
  const present = await available("webgpu", createWebgpuDevice)
  test.skipIf(!present).each(drawn(formats.length))("%s", async (format) => {
    const device = await createWebgpuDevice()
    const [stored, plain] = checkpoints(dense, () => format)
    const expected = await logits(plain!, 24, { isPlain: true })
    if (long || seed % 2 === 0)
      expect(normalisedError(await logits(stored!, 24, { device }), expected)).toBeLessThan(1e-8)
    if (long || seed % 2 === 1)
      expect(normalisedError(await logits(stored!, 7, { device, precision: "fast" }), expected)).toBeLessThan(1e-3)
    device.dispose()
  })
})

describe("bytes that a step moves, at the shapes of published models", () => {
  test.each(["qwen3-8b", "qwen3-30b-a3b"].filter((_, i) => long || i === seed % 2))(
    "%s: those of the planes, and hardly more",
    async (name) => {
      const config = { ...JSON.parse(readFileSync(`test/configs/${name}.json`, "utf8")), num_hidden_layers: 1 }
      const format = ["q4_k", "int4-g128", "fp8-128x128"][(seed >> 1) % 3]!
      const tensors = weightsIn(formatNamed(format))
      const adapter = { subgroupSize: 32, capability: 90 }
      const options = { tensors, precision: "fast", adapter, verify: true } as const
      const { compilation } = await compileFile("models/qwen3.ts", config, "cuda", options)
      const sizes = new Map([
        ["past", 1024],
        ["seq", 1],
      ])
      const { bytes, floorBytes } = entryFacts(compilation, "step", sizes)!
      expect(bytes / floorBytes).toBeLessThan(1.08)
      expect(bytes / floorBytes).toBeGreaterThan(0.99)
      // A scale in f16 for 128 weights and more, never the weights themselves in memory.
      const weights = compilation.artifact.buffers.filter((b) => b.role === "weight")
      expect(weights.reduce((n, b) => n + b.bytes, 0)).toBeLessThan(
        1.2 * elementsOf(config) * (format.startsWith("fp8") ? 1 : 0.57),
      )
    },
  )
})

const elementsOf = (config: object): number =>
  [...tensorShapes(qwen3, config).values()].reduce((n, shape) => n + shape.reduce((m, extent) => m * extent, 1), 0)
