/**
 * Laws of the reader: what is written is read; and whatever is done to a header, the reader returns or refuses, never reads
 * outside the file, never reads the data, and never keeps a range that is not inside.
 */

import { open, readFile } from "node:fs/promises"
import fc from "fast-check"
import { beforeAll, describe, expect, test } from "vitest"
import { WeftError } from "../../runtime/errors.js"
import { bytesPerElement, storedTypes } from "../../runtime/weights/dtypes.js"
import { JsonReader } from "../../runtime/weights/json.js"
import { readHeader } from "../../runtime/weights/safetensors.js"
import { type TensorData, writeSafetensors } from "../../runtime/weights/safetensors-writer.js"
import { memorySource } from "../../runtime/weights/source.js"
import { runs } from "../laws/settings.js"
import { file, thrown, watched } from "./support.js"

const numRuns = runs(300)

const name = fc.oneof(
  fc.string({ unit: "binary", maxLength: 12 }).filter((text) => text !== "__metadata__"),
  fc.constantFrom("__proto__", "constructor", "", '"', "\\", "\u0000", "model.norm.weight"),
)
const tensorData: fc.Arbitrary<TensorData> = fc
  .record({
    name,
    dtype: fc.constantFrom(...storedTypes),
    shape: fc.array(fc.nat({ max: 4 }), { maxLength: 4 }),
    fill: fc.nat({ max: 255 }),
  })
  .map(({ fill, ...tensor }) => {
    const count = tensor.shape.reduce((a, b) => a * b, 1)
    return { ...tensor, data: new Uint8Array(count * bytesPerElement(tensor.dtype)).fill(fill) }
  })

describe("write, then read", () => {
  test("gives the same tensors and metadata, aligned", async () => {
    const tensors = fc.uniqueArray(tensorData, { selector: (tensor) => tensor.name, maxLength: 8 })
    const metadata = fc.uniqueArray(fc.tuple(name, fc.string()), { selector: ([key]) => key, maxLength: 3 })
    await fc.assert(
      fc.asyncProperty(tensors, metadata, async (written, pairs) => {
        const bytes = writeSafetensors(written, new Map(pairs))
        const header = await readHeader(memorySource("x", bytes))
        expect(header.metadata).toEqual(new Map(pairs))
        expect(header.tensors.size).toBe(written.length)
        for (const { name, dtype, shape, data } of written) {
          const info = header.tensors.get(name)!
          expect(info).toMatchObject({ name, dtype, shape })
          expect(info.begin % bytesPerElement(dtype)).toBe(0)
          expect(bytes.slice(info.begin, info.end)).toEqual(data)
        }
      }),
      { numRuns },
    )
  })

  test("keeps the bytes of a file that the reference wrote, but for the order", async () => {
    const original = new Uint8Array(await readFile("test/golden/qwen3/golden.safetensors"))
    const header = await readHeader(memorySource("golden", original))
    const tensors = [...header.tensors.values()].map((info) => ({
      ...info,
      data: original.slice(info.begin, info.end),
    }))
    const copy = writeSafetensors(tensors)
    const again = await readHeader(memorySource("copy", copy))
    for (const { name, data } of tensors) {
      const info = again.tensors.get(name)!
      expect(copy.slice(info.begin, info.end)).toEqual(data)
    }
  })

  test.each<readonly [problem: string, tensors: readonly TensorData[]]>([
    ["the name stands twice", [u8("a", [1], 1), { ...u8("a", [1], 4), dtype: "F32" }]],
    ["the name is reserved", [u8("__metadata__", [1], 1)]],
    ["the name is not valid Unicode", [u8("\ud800", [1], 1)]],
    ["the shape [-1] holds something that is not a count", [u8("a", [-1], 1)]],
    ["U8 [2] takes 2 bytes, the data have 1", [u8("a", [2], 1)]],
  ])("refuses: %s", async (problem, tensors) => {
    const text = await thrown(() => writeSafetensors(tensors))
    expect(text).toBe(
      `checkpoint/write: tensor ${JSON.stringify(tensors[0]!.name)} cannot be written: ${problem}\nhint: give every tensor a name of its own and exactly the bytes of its shape`,
    )
  })
})

function u8(name: string, shape: readonly number[], bytes: number): TensorData {
  return { name, dtype: "U8", shape, data: new Uint8Array(bytes) }
}

/** Reads a header that may be bad: every promise of the reader must hold. Returns the code of the refusal. */
async function survive(bytes: Uint8Array): Promise<string> {
  const source = watched(bytes)
  let code = "read"
  try {
    const { tensors } = await readHeader(source)
    const size = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true)
    let covered = 8n + size
    for (const info of [...tensors.values()].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
      expect(BigInt(info.begin)).toBe(covered)
      expect(info.end - info.begin).toBe(info.shape.reduce((a, b) => a * b, bytesPerElement(info.dtype)))
      covered = BigInt(info.end)
    }
    expect(covered).toBe(BigInt(bytes.length))
  } catch (error) {
    if (!(error instanceof WeftError)) throw error
    expect(error.code).toMatch(/^checkpoint\//)
    expect(error.message).toMatch(/^"model\.safetensors": .*\nhint: .+$/)
    code = error.code
  }
  expect(source.bytesRead()).toBeLessThanOrEqual(bytes.length)
  return code
}

describe("a damaged header is refused or read, nothing else", () => {
  let shard: Uint8Array
  let headerEnd: number
  let small: Uint8Array

  beforeAll(async () => {
    // The header of a shipped shard, its data replaced by as many zeros as it had bytes.
    const handle = await open("models/tales/model-00003-of-00003.safetensors")
    const { size } = await handle.stat()
    shard = new Uint8Array(size)
    await handle.read(shard, 0, 16_384, 0)
    await handle.close()
    headerEnd = 8 + Number(new DataView(shard.buffer).getBigUint64(0, true))
    small = new Uint8Array(await readFile("test/golden/qwen3/golden.safetensors"))
  })

  test("bytes changed", async () => {
    const codes = new Set<string>()
    const change = fc.tuple(
      fc.nat(),
      fc.oneof(fc.nat({ max: 255 }), fc.constantFrom(...Buffer.from('0123456789"{}[]:,\\-.e '))),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), fc.boolean(), async (changes, tiny) => {
        const bytes = tiny ? small.slice() : shard
        const end = tiny ? 8 + Number(new DataView(small.buffer, small.byteOffset).getBigUint64(0, true)) : headerEnd
        const kept = changes.map(([at]) => bytes[at % end]!)
        for (const [at, value] of changes) bytes[at % end] = value
        codes.add(await survive(bytes))
        for (const [i, [at]] of [...changes.entries()].reverse()) bytes[at % end] = kept[i]!
      }),
      { numRuns: 2 * numRuns },
    )
    expect(codes.size).toBeGreaterThan(3)
  })

  test("the file cut or grown", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.boolean(), async (at, inHeader) => {
        const bytes = shard.subarray(0, at % (inHeader ? headerEnd : shard.length))
        expect(await survive(bytes)).toMatch(/truncated|header/)
      }),
      { numRuns: 100 },
    )
    const grown = new Uint8Array(small.length + 1)
    grown.set(small)
    expect(await survive(grown)).toBe("checkpoint/hole")
  })

  test("fields changed", async () => {
    const odd = fc.oneof(
      fc.constantFrom(
        "-1",
        "-0",
        "1e400",
        "1.5",
        "null",
        "{}",
        "[]",
        '""',
        "true",
        "9007199254740992",
        "18446744073709551616",
      ),
      fc.nat({ max: 64 }).map(String),
      fc.jsonValue({ maxDepth: 2 }).map((value) => JSON.stringify(value)),
    )
    const text = new TextDecoder().decode(
      small.subarray(8, 8 + Number(new DataView(small.buffer, small.byteOffset).getBigUint64(0, true))),
    )
    const kinds = [/(?<=:)"[^"]*"/g, /(?<=[[,])\d+/g, /(?<=:)\[[^\]]*\]/g, /(?<=:)\{[^{}]*\}/g]
    const values = kinds.flatMap((kind) => [...text.matchAll(kind)])
    const data = small.length - 8 - text.length
    const codes = new Set<string>()
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: values.length - 1 }), odd, async (which, value) => {
        const found = values[which]!
        const changed = text.slice(0, found.index) + value + text.slice(found.index + found[0].length)
        codes.add(await survive(file(changed, data)))
      }),
      { numRuns: 2 * numRuns },
    )
    for (const code of ["header", "dtype", "shape", "offsets", "size"]) expect(codes).toContain(`checkpoint/${code}`)
  })

  test("any bytes as a header", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 64 }), fc.nat({ max: 8 }), async (bytes, data) => {
        await survive(bytes)
        await survive(file(bytes, data))
      }),
      { numRuns },
    )
  })

  test("long headers that go on and on take linear time", async () => {
    const opened = '{"a":{"x":'
    const headers = [
      ["{", " "],
      ['{"', "\\\\"],
      ['{"', "\\u0061"],
      [opened, "["],
      [`${opened}[`, "1,"],
      [`${opened}[`, '"\\"",'],
      [`${opened}{`, '"k":0,'],
    ] as const
    // Processor time, and the best of three rounds: the machine may be slow and in use.
    const took = async (pieces: number): Promise<number> => {
      const rounds: number[] = []
      for (let round = 0; round < 3; round++) {
        const before = process.cpuUsage()
        for (const [start, piece] of headers)
          expect(await survive(file(start + piece.repeat(pieces)))).toBe("checkpoint/header")
        rounds.push(process.cpuUsage(before).user)
      }
      return Math.min(...rounds)
    }
    const short = await took(50_000)
    // Ten times as long; a reader that begins again at each piece would take a hundred times.
    expect(await took(500_000)).toBeLessThan(40 * short)
  })
})

test("the JSON reader takes what JSON.parse takes, no less and no more", () => {
  const fail = (why: string): never => {
    throw new WeftError("test/json", why)
  }
  const takes = (text: string) => {
    try {
      const json = new JsonReader(text, fail)
      json.skip()
      json.end()
      return true
    } catch (error) {
      if (error instanceof WeftError) return false
      throw error
    }
  }
  const parses = (text: string) => {
    try {
      JSON.parse(text)
      return true
    } catch {
      return false
    }
  }
  const valid = fc.json({ maxDepth: 4 })
  const broken = fc
    .tuple(valid, fc.nat(), fc.constantFrom("", ...'0-.eE,:[]{}"\\ \n\tntu'))
    .map(([text, at, piece]) => {
      const place = at % (text.length + 1)
      return text.slice(0, place) + piece + text.slice(place + 1)
    })
  const loneSurrogate = /\\u[dD][89a-fA-F]|\p{Surrogate}/u
  fc.assert(
    fc.property(fc.oneof(valid, broken), (text) => {
      fc.pre(!loneSurrogate.test(text))
      expect(takes(text)).toBe(parses(text))
    }),
    { numRuns: 4 * numRuns },
  )
})
