/** Headers of GGUF files as the reader finds them. */
import { expect, test } from "vitest"
import { readGgufHeader } from "../../runtime/weights/gguf/container.js"
import { type Entry, writeGgufHeader } from "../../runtime/weights/gguf/writer.js"
import { memorySource } from "../../runtime/weights/source.js"
import { thrown } from "../weights/support.js"

/** A file of this header, and of zeros. */
function source(metadata: ReadonlyMap<string, Entry>, tensors: Parameters<typeof writeGgufHeader>[1]) {
  const { bytes, begins, size } = writeGgufHeader(metadata, tensors)
  const file = new Uint8Array(size)
  file.set(bytes)
  return { begins, size, source: memorySource("made.gguf", file) }
}

test("each kind of value, and texts of any letters", async () => {
  const entries: Readonly<Record<string, Entry>> = {
    "general.architecture": { type: "text", value: "qwen3" },
    "a.u32": { type: "u32", value: 4_294_967_295 },
    "a.i32": { type: "i32", value: -2_147_483_648 },
    "a.f32": { type: "f32", value: 0.25 },
    "a.bool": { type: "bool", value: true },
    "a.text": { type: "text", value: "Ġ „grün“ 🌲" },
    "a.bools": { type: "bools", value: [true, false, true] },
    "a.i32s": { type: "i32s", value: [1, -1] },
    "a.texts": { type: "texts", value: ["", "a b", "é"] },
  }
  const { metadata } = await readGgufHeader(source(new Map(Object.entries(entries)), []).source)
  expect(Object.fromEntries(metadata)).toEqual(
    Object.fromEntries(Object.entries(entries).map(([key, { value }]) => [key, value])),
  )
})

test("tensors begin at multiples of 32, one behind the other, and a long list of texts fits", async () => {
  const texts = Array.from({ length: 20_000 }, (_, i) => `token ${i}`)
  const {
    begins,
    size,
    source: file,
  } = source(new Map([["tokens", { type: "texts", value: texts } as const]]), [
    { name: "a", shape: [3], type: 0, byteLength: 12 },
    { name: "b", shape: [2, 3, 256], type: 12, byteLength: 6 * 144 },
    { name: "c", shape: [1, 32], type: 8, byteLength: 34 },
  ])
  const { tensors, metadata } = await readGgufHeader(file)
  expect(metadata.get("tokens")).toEqual(texts)
  expect([...tensors.values()].map(({ begin }) => begin)).toEqual(begins)
  expect([...tensors.values()].map(({ shape, type }) => [type.name, ...shape])).toEqual([
    ["F32", 3],
    ["Q4_K", 2, 3, 256],
    ["Q8_0", 1, 32],
  ])
  expect(begins.map((begin) => begin % 32)).toEqual([0, 0, 0])
  expect([begins[1]! - begins[0]!, begins[2]! - begins[1]!, size - begins[2]!]).toEqual([32, 864, 64])
})

test("a name that stands twice is refused", async () => {
  const tensor = { name: "a", shape: [1], type: 0, byteLength: 4 }
  expect(await thrown(() => writeGgufHeader(new Map(), [tensor, tensor]))).toContain("checkpoint/write")
})
