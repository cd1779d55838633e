/**
 * Headers as they are read, part by part: random ones come back as they were written wherever parts begin and end, none that is cut off is read,
 * and none that is damaged takes more of a file than headers may have.
 */
import fc from "fast-check"
import { expect, test } from "vitest"
import { WeftError } from "../../runtime/errors.js"
import { readGgufHeader } from "../../runtime/weights/gguf/container.js"
import { parseHeader, type Value } from "../../runtime/weights/gguf/parse.js"
import { type ByteSource, memorySource } from "../../runtime/weights/source.js"
import { runs, seed } from "../laws/settings.js"
import { type Datum, type GgufToWrite, type NumberType, type TensorToWrite, writeGguf } from "../support/gguf.js"
import { thrown, watched } from "../weights/support.js"

const letters = fc.constantFrom("a", "é", "王", "😀", "\ufeff", "\u0000", "Ġ", "\ud7ff", "\uffff")
const text = fc.oneof(
  fc.array(letters, { maxLength: 12 }).map((all) => all.join("")),
  fc.string({ unit: "binary", maxLength: 40 }),
)
const whole = (bits: number, signed: boolean) =>
  fc.bigInt(signed ? -(2n ** BigInt(bits - 1)) : 0n, 2n ** BigInt(signed ? bits - 1 : bits) - 1n)
const numbers: Readonly<Record<NumberType, fc.Arbitrary<number | bigint>>> = {
  u8: whole(8, false),
  i8: whole(8, true),
  u16: whole(16, false),
  i16: whole(16, true),
  u32: whole(32, false),
  i32: whole(32, true),
  u64: fc.oneof(whole(64, false), whole(53, false)),
  i64: fc.oneof(whole(64, true), whole(54, true)),
  f32: fc.float(),
  f64: fc.double(),
}

/** What is written, and what has to be read. */
type Pair = readonly [key: string, datum: Datum, value: Value]
const read = (value: number | bigint) => (Number.isSafeInteger(Number(value)) ? Number(value) : value)
const datum: fc.Arbitrary<readonly [Datum, Value]> = fc.oneof(
  text.map((t) => [t, t] as const),
  fc.boolean().map((flag) => [flag, flag] as const),
  fc.array(text, { maxLength: 20 }).map((strings) => [{ strings }, strings] as const),
  fc.array(fc.boolean(), { maxLength: 20 }).map((flags) => [{ flags }, flags] as const),
  ...Object.entries(numbers).flatMap(([name, one]) => {
    const type = name as NumberType
    return [
      one.map((value) => [{ type, value }, read(value)] as const),
      fc.array(one, { maxLength: 40 }).map((list) => [{ type, list }, list.map(read)] as const),
    ]
  }),
)
const pairs: fc.Arbitrary<Pair[]> = fc.uniqueArray(
  fc
    .tuple(fc.oneof(text, fc.constantFrom("__proto__", "version", "kv_count")), datum)
    .map(([k, [d, v]]) => [k, d, v] as const),
  { selector: ([key]) => key, maxLength: 12 },
)
const tensors: fc.Arbitrary<TensorToWrite[]> = fc
  .uniqueArray(
    fc.record({
      name: text.filter((name) => name !== ""),
      shape: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 4 }),
      type: fc.constant(0),
    }),
    { selector: ({ name }) => name, maxLength: 5 },
  )
  .map((all) => all.map((t) => ({ ...t, data: new Uint8Array(4 * t.shape.reduce((n, extent) => n * extent, 1)) })))

const refuse = (code: WeftError["code"], problem: string): never => {
  throw new WeftError(code, problem)
}
const written = (pairs: readonly Pair[], tensors: readonly TensorToWrite[], more: Partial<GgufToWrite> = {}) =>
  writeGguf({ metadata: pairs.map(([key, datum]) => [key, datum]), tensors, ...more })

test("random headers are read as they were written, wherever the parts of the file end", async () => {
  const parts = fc.record({ first: fc.integer({ min: 1, max: 90 }), largest: fc.integer({ min: 1, max: 200 }) })
  await fc.assert(
    fc.asyncProperty(pairs, tensors, parts, fc.constantFrom(2, 3), async (pairs, tensors, parts, version) => {
      const file = written(pairs, tensors, { version })
      for (const sizes of [undefined, parts]) {
        const source = watched(file)
        const { metadata, infos, end } = await parseHeader(source, refuse, sizes)
        expect([...metadata]).toEqual(pairs.map(([key, , value]) => [key, value]))
        expect(infos.map(({ name, dimensions, type }) => [name, dimensions, type])).toEqual(
          tensors.map(({ name, shape, type }) => [name, [...shape].reverse(), type]),
        )
        expect(Math.ceil(end / 32) * 32 + tensors.reduce((n, t) => n + Math.ceil(t.data.length / 32) * 32, 0)).toBe(
          file.length,
        )
        expect(source.bytesRead()).toBeLessThanOrEqual(file.length)
      }
    }),
    { seed, numRuns: runs(100) },
  )
})

test("a random header that ends anywhere before its end is refused as one that does", async () => {
  const cut = fc.tuple(
    pairs,
    tensors,
    fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    fc.integer({ min: 1, max: 90 }),
  )
  await fc.assert(
    fc.asyncProperty(cut, async ([pairs, tensors, share, first]) => {
      const file = written(pairs, tensors)
      const { end } = await parseHeader(memorySource("x.gguf", file), refuse)
      const source = watched(file.slice(0, Math.floor(share * end)))
      expect(await thrown(() => parseHeader(source, refuse, { first, largest: 90 }))).toMatch(
        /^checkpoint\/truncated: /,
      )
    }),
    { seed, numRuns: runs(100) },
  )
})

test("random bytes changed: read or refused, in the bytes that headers may have", async () => {
  // Anywhere behind the four bytes that say what the file is, without which nothing else is read.
  const change = fc.tuple(fc.noBias(fc.nat(9999)), fc.noBias(fc.nat(255)))
  const codes = new Set<string>()
  await fc.assert(
    fc.asyncProperty(
      pairs,
      tensors,
      fc.array(change, { minLength: 1, maxLength: 4 }),
      async (pairs, tensors, changes) => {
        const file = written(
          [["general.architecture", "x", "x"], ...pairs.filter(([key]) => key !== "general.architecture")],
          tensors,
        )
        for (const [place, byte] of changes) file[4 + Math.floor((place / 10_000) * (file.length - 4))] = byte
        for (const tail of [0, 2 ** 40]) {
          const source = longer(file, tail)
          const code = await readGgufHeader(source).then(
            () => "read",
            (error: unknown) => (error instanceof WeftError ? error.code : Promise.reject(error)),
          )
          codes.add(code)
          expect(source.bytesRead()).toBeLessThanOrEqual(2 ** 27)
        }
      },
    ),
    { seed, numRuns: runs(100) },
  )
  expect(codes.size).toBeGreaterThan(2)
})

/** A file with so many zeros behind it, which are made when they are read. */
function longer(file: Uint8Array, zeros: number): ByteSource & { bytesRead(): number } {
  let total = 0
  return {
    name: "long.gguf",
    size: file.length + zeros,
    bytesRead: () => total,
    async read(offset, length) {
      total += length
      const bytes = new Uint8Array(length)
      bytes.set(file.subarray(offset, offset + length))
      return bytes
    },
    async close() {},
  }
}

test("a damaged count in a file of a terabyte is refused before anything is allocated for it", async () => {
  const u64 = (file: Uint8Array, at: number, value: bigint) => new DataView(file.buffer).setBigUint64(at, value, true)
  const refusal = async (datum: Datum, at: number, count: bigint) => {
    const file = writeGguf({ metadata: [["k", datum]], tensors: [] })
    u64(file, at, count)
    const source = longer(file, 2 ** 40)
    const message = await thrown(() => readGgufHeader(source))
    expect(source.bytesRead()).toBeLessThanOrEqual(2 ** 18)
    return message
  }
  expect(await refusal("text", 37, 2n ** 31n)).toContain('"k" at byte 37 has 2147483648 bytes, the limit is 134217728')
  expect(await refusal("text", 37, 2n ** 27n)).toContain(
    '"k" at byte 37 ends at byte 134217773, the limit of headers is 134217728',
  )
  expect(await refusal({ strings: ["a"] }, 41, 2n ** 31n)).toContain(
    'claims 2147483648 items of "k" at byte 41, the limit is 4000000',
  )
  expect(await refusal({ strings: ["a"] }, 49, 2n ** 40n)).toContain('text 0 of "k" at byte 49 has 1099511627776 bytes')
})

test("a text is UTF-8 by itself: half a letter is refused though the next text has the other half", async () => {
  const file = writeGguf({ metadata: [["k", { strings: ["x", "a", "b", "z"] }]], tensors: [] })
  expect([file[66], file[75]]).toEqual([0x61, 0x62])
  file.set([0xc3], 66)
  file.set([0xa9], 75)
  expect(await thrown(() => parseHeader(memorySource("x.gguf", file), refuse))).toContain(
    'text 1 of "k" at byte 58 is no UTF-8',
  )
})

test("a text of many megabytes and a list across several parts are whole", async () => {
  const json = `{"${"é".repeat(4_000_000)}"}`
  const strings = Array.from({ length: 30_000 }, (_, i) => `Ġtoken ${i}`)
  const file = writeGguf({
    metadata: [
      ["tokenizer.huggingface.json", json],
      ["list", { strings }],
    ],
    tensors: [],
  })
  const source = watched(file)
  const { metadata } = await readGgufHeader(source)
  expect(metadata.get("tokenizer.huggingface.json") === json).toBe(true)
  expect(metadata.get("list")).toEqual(strings)
  expect(source.bytesRead()).toBe(file.length)
})
