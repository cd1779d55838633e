/**
 * Files that are cut off, damaged or made to mislead: each is refused in an error of ours that names the file and what is wrong, and no byte
 * outside of it is asked for, whatever its numbers say. What is not refused is read as what it says.
 */
import fc from "fast-check"
import { beforeAll, describe, expect, test } from "vitest"
import { WeftError } from "../../runtime/errors.js"
import { openGguf } from "../../runtime/weights/gguf/checkpoint.js"
import { readGgufHeader } from "../../runtime/weights/gguf/container.js"
import { long, runs, seed } from "../laws/settings.js"
import { type Datum, type GgufToWrite, type TensorToWrite, writeGguf } from "../support/gguf.js"
import { loadGolden } from "../support/goldens.js"
import { thrown, watched } from "../weights/support.js"
import { convert } from "./convert.js"

const header = (bytes: Uint8Array) => readGgufHeader(watched(bytes))
const open = (bytes: Uint8Array) => openGguf("model.gguf", [watched(bytes)])

const f32 = (name: string, shape: readonly number[], more: Partial<TensorToWrite> = {}): TensorToWrite => ({
  name,
  type: 0,
  shape,
  ...more,
  data: more.data ?? new Uint8Array(4 * shape.reduce((n, extent) => n * extent, 1)),
})

/** A value of each kind, and two tensors. */
const small: GgufToWrite = {
  metadata: [
    ["general.architecture", "qwen3"],
    ["a flag", true],
    ["a float", { f32: 0.5 }],
    ["a large number", { u64: 5n }],
    ["texts", { strings: ["a", "", "é王"] }],
    ["numbers", { f32s: [1, 2] }],
    ["whole numbers", { i32s: [-1] }],
  ],
  tensors: [f32("x", [2, 3]), f32("y", [4])],
}

test("a file that ends anywhere before its end is refused", async () => {
  const file = writeGguf(small)
  const { tensors, metadata } = await header(file)
  expect([...tensors.keys()]).toEqual(["x", "y"])
  expect(metadata.get("texts")).toEqual(["a", "", "é王"])
  const last = [...tensors.values()].at(-1)!
  const codes = new Set<string>()
  for (let length = 0; length < last.begin + last.byteLength; length += long ? 1 : 1 + (length % 3))
    codes.add((await thrown(() => header(file.slice(0, length)))).split(":")[0]!)
  expect([...codes]).toEqual(["checkpoint/truncated"])
})

/** A file of metadata with one more pair, whose bytes are given. */
function withBytes(bytes: readonly number[]): Uint8Array {
  const file = writeGguf({ metadata: [["general.architecture", "qwen3"]], tensors: [], counts: { pairs: 2n } })
  const end = 24 + 8 + 20 + 4 + 8 + 5
  return new Uint8Array([...file.slice(0, end), ...bytes, ...new Uint8Array(64)])
}
const key = [1, 0, 0, 0, 0, 0, 0, 0, 0x6b]
const u32 = (x: number) => [...new Uint8Array(new Uint32Array([x]).buffer)]
const u64 = (x: bigint) => [...new Uint8Array(new BigUint64Array([x]).buffer)]

describe("a header that lies", () => {
  test.each<readonly [string, () => Uint8Array]>([
    ['checkpoint/header: "model.safetensors": the file begins with "GGML"', () => changed(0, [0x47, 0x47, 0x4d, 0x4c])],
    ["this is a pointer of Git LFS", () => new TextEncoder().encode("version https://git-lfs.github.com/spec/v1\n")],
    ["GGUF of version 1 is not supported", () => writeGguf({ ...small, version: 1 })],
    ["GGUF of version 4 is not supported", () => writeGguf({ ...small, version: 4 })],
    ["the file is big-endian", () => changed(4, [0, 0, 0, 3])],
    [
      "claims 18446744073709551615 tensors at byte 8, the limit is",
      () => writeGguf({ ...small, counts: { tensors: 2n ** 64n - 1n } }),
    ],
    ["claims 9999 tensors at byte 8, the file has", () => writeGguf({ ...small, counts: { tensors: 9999n } })],
    [
      "claims 10001 pairs of metadata at byte 16, the limit is",
      () => writeGguf({ ...small, counts: { pairs: 10_001n } }),
    ],
    ["the name of tensor 2 at byte 358 is empty", () => writeGguf({ ...small, counts: { tensors: 4n } })],
    [
      "the name of tensor 0 at byte 299 has 562949953421312 bytes, the limit is 500",
      () => writeGguf({ ...small, counts: { pairs: 8n } }),
    ],
    [
      'checkpoint/duplicate: "model.safetensors": the key "a flag" stands twice, again at byte 284',
      () => writeGguf({ ...small, metadata: [...small.metadata, ["a flag", false]] }),
    ],
    [
      "the key of pair 1 at byte 69 has 72057594037927936 bytes, the limit is 65535",
      () => withBytes([...u64(2n ** 56n)]),
    ],
    ["checkpoint/truncated", () => withBytes([...key, ...u32(8), ...u64(9_000_000n)])],
    ['checkpoint/header: "model.safetensors": "k" has the type 99', () => withBytes([...key, ...u32(99)])],
    ['"k" has the type 13', () => withBytes([...key, ...u32(9), ...u32(13), ...u64(1n)])],
    ["checkpoint/truncated", () => withBytes([...key, ...u32(9), ...u32(8), ...u64(900_000n)])],
    [
      'claims 1099511627776 items of "k" at byte 86, the limit is 4000000',
      () => withBytes([...key, ...u32(9), ...u32(4), ...u64(2n ** 40n)]),
    ],
    ['"k" is a list of lists', () => withBytes([...key, ...u32(9), ...u32(9), ...u64(1n), ...u32(4), ...u64(0n)])],
    ['"k" at byte 82 is no UTF-8: "�("', () => withBytes([...key, ...u32(8), ...u64(2n), 0xc3, 0x28])],
    ['general.alignment is "0"; it is a power of two', () => aligned(0)],
    ['general.alignment is "48"; it is a power of two', () => aligned(48)],
    ['checkpoint/duplicate: "model.safetensors": tensor "x" stands twice', () => of(f32("x", [1]), f32("x", [1]))],
    ['checkpoint/header: "model.safetensors": the name of tensor 0 at byte 284 is empty', () => of(f32("", [1]))],
    ["the name of tensor 0 at byte 284 has 1000 bytes, the limit is 500", () => of(f32("x".repeat(1000), [1]))],
    [
      'checkpoint/shape: "model.safetensors": tensor "x" at byte 284 has 0 dimensions, not 1 to 4',
      () => of(f32("x", [])),
    ],
    ["has 5 dimensions, not 1 to 4", () => of(f32("x", [1, 1, 1, 1, 1]))],
    ['checkpoint/shape: "model.safetensors": tensor "x": F32 [0, 4] has no elements', () => of(f32("x", [0, 4]))],
    ["has 9 dimensions, not 1 to 4", () => of(f32("x", Array(9).fill(1)))],
    [
      "F32 [2147483648, 2147483648] has no elements, or more than can be counted",
      () => of(f32("x", [2 ** 31, 2 ** 31], { data: new Uint8Array(4) })),
    ],
    ['tensor "x": its data end at byte 4398046511', () => of(f32("x", [2 ** 40], { data: new Uint8Array(4) }))],
    ["its data end at byte", () => of(f32("x", [1000], { data: new Uint8Array(4) }))],
    ["its data end at byte 18446744073709551", () => of(f32("x", [1], { offset: 2n ** 64n - 32n }))],
    ["its offset 4 is no multiple of 32", () => of(f32("x", [1], { offset: 4n }))],
    ['tensors "x" and "y" overlap at byte', () => of(f32("x", [64]), f32("y", [1], { offset: 32n }))],
    [
      'tensor "x" is of the type Q2_K, which is not supported; F32, F16, Q4_0,',
      () => of(f32("x", [256], { type: 10 })),
    ],
    ['tensor "x" is of the type number 999', () => of(f32("x", [256], { type: 999 }))],
    ["has rows that are no multiple of 32", () => of(f32("x", [2, 48], { type: 8 }))],
  ])("%s", async (message, make) => {
    expect(await thrown(() => header(make()))).toContain(message)
  })
})

function changed(at: number, bytes: readonly number[]): Uint8Array {
  const file = writeGguf(small)
  file.set(bytes, at)
  return file
}
const aligned = (to: number) => writeGguf({ ...small, metadata: [["general.alignment", to]] })
const of = (...tensors: TensorToWrite[]) => writeGguf({ ...small, tensors })

describe("metadata and tensors that do not fit together", () => {
  let llama: GgufToWrite
  let mixtral: GgufToWrite
  beforeAll(async () => {
    const [a, b] = await Promise.all([loadGolden("llama"), loadGolden("mixtral")])
    llama = await convert(a.checkpoint)
    mixtral = await convert(b.checkpoint)
  })

  const put = (file: GgufToWrite, key: string, value: Datum | undefined): GgufToWrite => ({
    ...file,
    metadata: [...file.metadata.filter(([k]) => k !== key), ...(value === undefined ? [] : ([[key, value]] as const))],
  })
  const rename = (file: GgufToWrite, from: string, to: string): GgufToWrite => ({
    ...file,
    tensors: file.tensors.map((t) => (t.name === from ? { ...t, name: to } : t)),
  })

  test.each<readonly [string, (llama: GgufToWrite, mixtral: GgufToWrite) => GgufToWrite]>([
    [
      'checkpoint/metadata: "model.gguf": general.architecture is missing',
      (f) => put(f, "general.architecture", undefined),
    ],
    [
      'checkpoint/architecture: "model.gguf" is of the architecture "gemma3", which no model reads',
      (f) => put(f, "general.architecture", "gemma3"),
    ],
    ['is of the architecture "constructor"', (f) => put(f, "general.architecture", "constructor")],
    ['checkpoint/missing: "model.gguf" holds a vocabulary and no weights', (f) => ({ ...f, tensors: [] })],
    ['"llama.block_count" is missing', (f) => put(f, "llama.block_count", undefined)],
    ['"llama.block_count" is "3"; it is a whole number', (f) => put(f, "llama.block_count", "3")],
    [
      '"llama.attention.head_count" is a list of 2; it is a whole number, the same for all layers',
      (f) => put(f, "llama.attention.head_count", { i32s: [4, 2] }),
    ],
    [
      '"llama.attention.head_count" is 0',
      (f) => put(put(f, "llama.attention.head_count", 0), "llama.attention.key_length", undefined),
    ],
    ['"llama.rope.dimension_count" is 8, and a head has 16 channels', (f) => put(f, "llama.rope.dimension_count", 8)],
    [
      '"llama.rope.scaling.type" is "longrope", which is not supported',
      (f) => put(put(f, "llama.rope.scaling.type", "longrope"), "llama.rope.scaling.factor", { f32: 2 }),
    ],
    ["whose numbers are not those of Llama 3's scaling", (f) => put(f, "llama.rope.freq_base", { f32: 500 })],
    ['"llama.logit_scale" is "0.5", which is not supported', (f) => put(f, "llama.logit_scale", { f32: 0.5 })],
    ['"llama.expert_group_count" is "2", which', (f) => put(f, "llama.expert_group_count", { u64: 2n })],
    [
      '"llama.attention.sliding_window_pattern" has layers that see all keys',
      (f) =>
        put(put(f, "llama.attention.sliding_window", 8), "llama.attention.sliding_window_pattern", {
          flags: [true, true, false],
        }),
    ],
    [
      'has 1 tensors that the architecture llama has not: "blk.0.attn_sinks.weight"',
      (f) => rename(f, "blk.0.attn_norm.weight", "blk.0.attn_sinks.weight"),
    ],
    [
      "and heads have 24 channels",
      (f) => {
        const size = ["attention.key_length", "attention.value_length", "rope.dimension_count"]
        const wider = size.reduce((now, key) => put(now, `llama.${key}`, 24), f)
        return { ...wider, tensors: f.tensors.filter(({ name }) => name !== "rope_freqs.weight") }
      },
    ],
    ["and there are 4 experts of one part", (_, f) => put(f, "llama.expert_count", 4)],
    ['"llama.expert_count" is 100000, the limit is 1000', (_, f) => put(f, "llama.expert_count", 100_000)],
    [
      '"blk.0.ffn_gate_exps.weight" and "blk.0.ffn_gate.0.weight" are both',
      (_, f) => ({ ...f, tensors: [...f.tensors, f32("blk.0.ffn_gate.0.weight", [96, 64])] }),
    ],
    [
      "a few numbers in F32 are expected",
      (f) => ({
        ...f,
        tensors: f.tensors.map((t) => (t.name === "rope_freqs.weight" ? { ...t, type: 1, shape: [16] } : t)),
      }),
    ],
  ])("%s", async (message, make) => {
    expect(await thrown(() => open(writeGguf(make(llama, mixtral))))).toContain(message)
  })

  test("numbers of 64 bits are as good as those of 32", async () => {
    const wide = put(put(llama, "llama.block_count", { u64: 3n }), "llama.expert_group_count", { u64: 1n })
    const { config, close } = await open(writeGguf(wide))
    expect(config.num_hidden_layers).toBe(3)
    await close()
  })

  test("any bytes of a header changed: read or refused, and read only in the file", async () => {
    const file = writeGguf(llama)
    const { tensors } = await header(file)
    const end = Math.min(...[...tensors.values()].map(({ begin }) => begin))
    const change = fc.tuple(fc.nat(end - 1), fc.constantFrom(0, 1, 2, 9, 31, 32, 127, 128, 254, 255))
    const codes = new Map<string, number>()
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
        const bytes = file.slice()
        for (const [at, byte] of changes) bytes[at] = byte
        const source = watched(bytes)
        let code = "read"
        try {
          const checkpoint = await openGguf("model.gguf", [source])
          for (const tensor of checkpoint.tensors.values())
            expect((await checkpoint.read(tensor)).length).toBe(tensor.byteLength)
        } catch (error) {
          if (!(error instanceof WeftError)) throw error
          code = error.code
          expect(error.message).toContain("model.")
          expect(error.hint).not.toBeUndefined()
          expect(source.bytesRead()).toBeLessThan(3 * bytes.length)
        }
        codes.set(code, (codes.get(code) ?? 0) + 1)
      }),
      { seed, numRuns: runs(60) },
    )
    expect(codes.size).toBeGreaterThan(1)
  })
})
