/**
 * A GGUF file made of each golden is that golden: the same model, the same weights, and so the very same logits. What the converter does to
 * them on the way (heads of Llama permuted, experts stacked, vectors in F32, settings said by what is there) is undone.
 */
import { describe, expect, test } from "vitest"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import type { Checkpoint, StoredTensor } from "../../runtime/weights/checkpoint.js"
import { toFloat32 } from "../../runtime/weights/dtypes.js"
import { decodeTensor } from "../../runtime/weights/formats/decode.js"
import { formatNamed } from "../../runtime/weights/formats/named.js"
import { openGguf } from "../../runtime/weights/gguf/checkpoint.js"
import { memorySource } from "../../runtime/weights/source.js"
import { weightOf } from "../formats/ggml.js"
import { long, seed } from "../laws/settings.js"
import { compileCheckpoint } from "../support/driver.js"
import { writeGguf } from "../support/gguf.js"
import { goldenNames, loadGolden, longGoldens, normalisedError } from "../support/goldens.js"
import { logitsOf, openSession } from "../support/session.js"
import { blocksOf, type ConvertOptions, convert } from "./convert.js"

const names = [...goldenNames, ...longGoldens.map(({ name }) => name)]
const ofExperts = names.filter((name) => /moe|mixtral/.test(name))

const open = async (checkpoint: Checkpoint, options?: ConvertOptions) =>
  openGguf("golden.gguf", [memorySource("golden.gguf", writeGguf(await convert(checkpoint, options)))])

const floats = async (checkpoint: Checkpoint, tensor: StoredTensor) =>
  toFloat32(tensor.dtype as "BF16", await checkpoint.read(tensor))

const equalBytes = (a: ArrayBufferView, b: ArrayBufferView) =>
  Buffer.compare(
    Buffer.from(a.buffer, a.byteOffset, a.byteLength),
    Buffer.from(b.buffer, b.byteOffset, b.byteLength),
  ) === 0

/** As its tensors are stored. */
const storageIn =
  ({ tensors }: Checkpoint) =>
  ({ tensors: names }: { readonly tensors: readonly string[] }) =>
    tensors.get(names[0]!)!.dtype.toLowerCase() as "bf16" | "f32"

async function expectEqualWeights(gguf: Checkpoint, folder: Checkpoint): Promise<void> {
  expect([...gguf.tensors.keys()].sort()).toEqual([...folder.tensors.keys()].sort())
  for (const [name, tensor] of folder.tensors) {
    const found = gguf.tensors.get(name)!
    expect(found.shape, name).toEqual(tensor.shape)
    expect(equalBytes(await floats(gguf, found), await floats(folder, tensor)), name).toBe(true)
    // Any part of it is that part of the whole.
    const whole = await gguf.read(found)
    const [from, length] = [Math.floor(whole.length / 3), Math.floor(whole.length / 2)]
    const part = await gguf.read(found, from, length, new Uint8Array(length))
    expect(equalBytes(part, whole.subarray(from, from + length)), name).toBe(true)
  }
}

describe("the weights of a folder", () => {
  test.each(names)("%s", async (name) => {
    const { checkpoint } = await loadGolden(name)
    await expectEqualWeights(await open(checkpoint), checkpoint)
    await checkpoint.close()
  })

  test.each(ofExperts)("%s, experts each by itself and gates joined with what they open", async (name) => {
    const { checkpoint } = await loadGolden(name)
    for (const experts of ["split", "fused"] as const)
      await expectEqualWeights(await open(checkpoint, { experts }), checkpoint)
    await checkpoint.close()
  })

  test.each(["llama", "qwen2"])("%s, queries, keys and values joined", async (name) => {
    const { checkpoint } = await loadGolden(name)
    await expectEqualWeights(await open(checkpoint, { qkv: "fused" }), checkpoint)
    await checkpoint.close()
  })
})

/** What blocks of a tensor hold, block by block as llama.cpp decodes them. */
function weightsIn(blocks: Uint8Array): Float32Array {
  const weights = new Float32Array((blocks.length / 34) * 32)
  for (let i = 0; i < weights.length; i++)
    weights[i] = weightOf.Q8_0!(blocks.subarray((i >> 5) * 34, ((i >> 5) + 1) * 34), i & 31)
  return weights
}

describe("the weights of a folder, matrices in blocks", () => {
  test.each(["llama", "mixtral", "qwen2-moe"])("%s", async (name) => {
    const { checkpoint } = await loadGolden(name)
    let quantized = 0
    for (const experts of ["stacked", "fused"] as const) {
      const gguf = await open(checkpoint, { blocks: "Q8_0", experts, qkv: experts === "fused" ? "fused" : "apart" })
      for (const [model, tensor] of gguf.tensors) {
        const format = formatNamed(tensor.dtype)
        if (format === undefined) continue
        quantized++
        const expected = weightsIn(blocksOf(await floats(checkpoint, checkpoint.tensors.get(model)!)))
        const bytes = await gguf.read(tensor)
        expect(bytes.length).toBe(tensor.byteLength)
        expect(equalBytes(decodeTensor(format, tensor.shape, bytes), expected), model).toBe(true)
        const [from, length] = [Math.floor(bytes.length / 3), Math.floor(bytes.length / 2)]
        expect(equalBytes(await gguf.read(tensor, from, length), bytes.subarray(from, from + length)), model).toBe(true)
      }
    }
    expect(quantized).toBeGreaterThan(30)
    await checkpoint.close()
  })
})

const entries = ["logits"]
const drawn = <T>(all: readonly T[], count: number) =>
  long ? all : all.map((_, i) => all[(seed + i) % all.length]!).slice(0, count)

describe("the model of a folder", () => {
  test.each(drawn(names, 2))("%s: the same artifact", async (name) => {
    const { checkpoint } = await loadGolden(name)
    const options = { entries, ...(name.endsWith("long") && { chunk: 128 }) }
    const [folder, gguf] = await Promise.all(
      [checkpoint, await open(checkpoint, { vectors: "stored" })].map((c) => compileCheckpoint(c, "wasm", options)),
    )
    expect(JSON.stringify(gguf!.artifact)).toBe(JSON.stringify(folder!.artifact))
    await checkpoint.close()
  })

  test.each(drawn(goldenNames, 1))("%s with vectors and routers in F32: the logits of transformers", async (name) => {
    const { checkpoint, ids, logits } = await loadGolden(name)
    const device = await createWasmDevice({ threads: 1 })
    const gguf = await open(checkpoint)
    const session = await openSession(
      await compileCheckpoint(gguf, "wasm", { entries, storage: storageIn(gguf) }),
      device,
      gguf,
    )
    expect(normalisedError(await logitsOf(session, ids[0]!, 32), logits[0]!)).toBeLessThan(1e-8)
    session.dispose()
    device.dispose()
    await checkpoint.close()
  })
})
