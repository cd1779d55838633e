/** What the header reader accepts, and the exact text of every refusal. */

import { describe, expect, test } from "vitest"
import { readHeader } from "../../runtime/weights/safetensors.js"
import { memorySource } from "../../runtime/weights/source.js"
import { file, tensor, thrown } from "./support.js"

const read = (bytes: Uint8Array) => readHeader(memorySource("x.safetensors", bytes))

describe("accepted", () => {
  test("tensors in any order, with absolute offsets, metadata, unknown fields and trailing spaces", async () => {
    const b = `{"shape":[3],"later":[{"x":[null,true,false,-1.5e3,"\\n"]}],"dtype":"U8","data_offsets":[8,11]}`
    const text = `{"__metadata__":{"format":"pt"},"b":${b},"a":${tensor("F32", "[2,1]", "[0,8]")}}  `
    const header = await read(file(text, 11))
    const begin = 8 + text.length
    expect(header.metadata).toEqual(new Map([["format", "pt"]]))
    expect([...header.tensors.values()]).toEqual([
      { name: "b", dtype: "U8", shape: [3], begin: begin + 8, end: begin + 11 },
      { name: "a", dtype: "F32", shape: [2, 1], begin, end: begin + 8 },
    ])
  })

  test("scalars, empty tensors and empty files", async () => {
    const text = `{"e":${tensor("F32", "[0,5]", "[0,0]")},"s":${tensor("BF16", "[]", "[0,2]")},"t":${tensor("I8", "[0]", "[2,2]")}}`
    expect((await read(file(text, 2))).tensors.get("s")?.shape).toEqual([])
    expect((await read(file("{}"))).tensors.size).toBe(0)
  })

  test("an empty tensor at the beginning of one that stands before it", async () => {
    const text = `{"s":${tensor("U8", "[2]", "[0,2]")},"e":${tensor("U8", "[0]", "[0,0]")}}`
    expect((await read(file(text, 2))).tensors.size).toBe(2)
  })

  test("names that objects cannot hold", async () => {
    const header = await read(
      file(`{"__proto__":${tensor("U8", "[1]", "[0,1]")},"a\\u0007":${tensor("U8", "[0]", "[1,1]")}}`, 1),
    )
    expect([...header.tensors.keys()]).toEqual(["__proto__", "a\u0007"])
  })
})

const damaged = "hint: the file is damaged or is not a safetensors file; fetch it again or export it again"
const download = "hint: the download may be incomplete; fetch the file again"
const one = (dtype: string, shape: string, offsets: string, bytes = 4) =>
  file(`{"a":${tensor(dtype, shape, offsets)}}`, bytes)
const good = tensor("U8", "[4]", "[0,4]")

const refusals: Record<string, readonly [bytes: Uint8Array, message: string]> = {
  "an empty file": [
    new Uint8Array(0),
    `checkpoint/truncated: "x.safetensors": the file has 0 bytes, its header length alone takes 8\n${download}`,
  ],
  "a header beyond the file": [
    file("{}", 0, 1000n),
    `checkpoint/truncated: "x.safetensors": the header ends at byte 1008, the file has 10 bytes\n${download}`,
  ],
  "a header one byte beyond the file": [
    file("{}", 0, 3n),
    `checkpoint/truncated: "x.safetensors": the header ends at byte 11, the file has 10 bytes\n${download}`,
  ],
  "a header over the limit": [
    file("{}", 0, 2n ** 64n - 1n),
    `checkpoint/header: "x.safetensors": the header claims 18446744073709551615 bytes, the limit is 100000000\n${damaged}`,
  ],
  "a Git LFS pointer": [
    new TextEncoder().encode("version https://git-lfs.github.com/spec/v1\n"),
    `checkpoint/header: "x.safetensors": the header claims 2336927755350992246 bytes, the limit is 100000000\nhint: this is a Git LFS pointer, not the weights; run \`git lfs pull\``,
  ],
  "an empty header": [file(""), `checkpoint/header: "x.safetensors": the header does not begin with '{'\n${damaged}`],
  "a header that is a list": [
    file("[]"),
    `checkpoint/header: "x.safetensors": the header does not begin with '{'\n${damaged}`,
  ],
  "invalid UTF-8": [
    file(new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x7d])),
    `checkpoint/header: "x.safetensors": the header is not valid UTF-8\n${damaged}`,
  ],
  "invalid JSON": [
    file(`{"a"=1}`),
    `checkpoint/header: "x.safetensors": the header is not as it must be: expected ':' at character 5, found "="\n${damaged}`,
  ],
  "a header that stops": [
    file(`{"a":`),
    `checkpoint/header: "x.safetensors": the header is not as it must be: expected an object at character 6, found the end\n${damaged}`,
  ],
  "a string that stops": [
    file(`{"a\\"`),
    `checkpoint/header: "x.safetensors": the header is not as it must be: the string at character 2 does not end\n${damaged}`,
  ],
  "a bad escape": [
    file(`{"\\x":0}`),
    `checkpoint/header: "x.safetensors": the header is not as it must be: the string at character 2 has an invalid escape\n${damaged}`,
  ],
  "half a surrogate pair": [
    file(`{"\\ud800":0}`),
    `checkpoint/header: "x.safetensors": the header is not as it must be: the string at character 2 has an invalid escape\n${damaged}`,
  ],
  "text after the header": [
    file(`{}{}`),
    `checkpoint/header: "x.safetensors": the header is not as it must be: expected the end at character 3, found "{"\n${damaged}`,
  ],
  "a tensor that is a number": [
    file(`{"a":1}`),
    `checkpoint/header: "x.safetensors": the header is not as it must be: expected an object at character 6, found "1"\n${damaged}`,
  ],
  "a dimension that is a string": [
    one("U8", `["4"]`, "[0,4]"),
    `checkpoint/header: "x.safetensors": the header is not as it must be: expected a number at character 29, found "\\""\n${damaged}`,
  ],
  "a malformed number": [
    one("U8", "[04]", "[0,4]"),
    `checkpoint/header: "x.safetensors": the header is not as it must be: the number at character 29 is malformed\n${damaged}`,
  ],
  "an endless number": [
    one("U8", `[${"1".repeat(100_000)}]`, "[0,4]"),
    `checkpoint/header: "x.safetensors": the header is not as it must be: the number at character 29 is malformed\n${damaged}`,
  ],
  "deep nesting": [
    file(`{"a":{"x":${"[".repeat(100_000)}`),
    `checkpoint/header: "x.safetensors": the header is not as it must be: nesting deeper than 64 at character 76\n${damaged}`,
  ],
  "metadata that are not strings": [
    file(`{"__metadata__":{"a":1}}`),
    `checkpoint/header: "x.safetensors": the header is not as it must be: expected a string at character 22, found "1"\n${damaged}`,
  ],
  "a missing field": [
    file(`{"a":{"dtype":"U8","data_offsets":[0,0]}}`),
    `checkpoint/header: "x.safetensors": tensor "a": there is no "shape"\n${damaged}`,
  ],
  "a tensor twice": [
    file(`{"a":${good},"\\u0061":${good}}`, 4),
    `checkpoint/duplicate: "x.safetensors": "a" stands twice in the header\n${damaged}`,
  ],
  "metadata twice": [
    file(`{"__metadata__":{},"__metadata__":{}}`),
    `checkpoint/duplicate: "x.safetensors": "__metadata__" stands twice in the header\n${damaged}`,
  ],
  "a metadata key twice": [
    file(`{"__metadata__":{"k":"1","k":"2"}}`),
    `checkpoint/duplicate: "x.safetensors": "k" stands twice in the metadata\n${damaged}`,
  ],
  "a field twice": [
    file(`{"a":{"dtype":"U8","dtype":"F32"}}`),
    `checkpoint/duplicate: "x.safetensors": tensor "a": "dtype" stands twice\n${damaged}`,
  ],
  "an unknown dtype": [
    one("toString", "[4]", "[0,4]"),
    `checkpoint/dtype: "x.safetensors": tensor "a": unknown dtype "toString"\nhint: a safetensors file holds F64, F32, F16, BF16, I64, I32, I16, I8, U64, U32, U16, U8, BOOL, F8_E4M3, F8_E5M2`,
  ],
  "a shape over 2^53": [
    one("U8", "[4294967296,4294967296]", "[0,4]"),
    `checkpoint/shape: "x.safetensors": tensor "a": U8 [4294967296, 4294967296] takes more than 2^53 - 1 bytes\n${damaged}`,
  ],
  "a size over 2^53": [
    one("F64", "[9007199254740991]", "[0,4]"),
    `checkpoint/shape: "x.safetensors": tensor "a": F64 [9007199254740991] takes more than 2^53 - 1 bytes\n${damaged}`,
  ],
  "too many dimensions": [
    one("U8", `[${Array(65).fill(1).join()}]`, "[0,1]"),
    `checkpoint/shape: "x.safetensors": tensor "a": shape has more than 64 numbers\n${damaged}`,
  ],
  "a range backwards": [
    one("U8", "[4]", "[4,0]"),
    `checkpoint/offsets: "x.safetensors": tensor "a": data_offsets [4, 0] are not a range\n${damaged}`,
  ],
  "one offset": [
    one("U8", "[4]", "[4]"),
    `checkpoint/offsets: "x.safetensors": tensor "a": data_offsets [4] are not a range\n${damaged}`,
  ],
  "three offsets": [
    one("U8", "[4]", "[0,4,8]"),
    `checkpoint/offsets: "x.safetensors": tensor "a": data_offsets has more than 2 numbers\n${damaged}`,
  ],
  "data beyond the file": [
    one("U8", "[5]", "[0,5]"),
    `checkpoint/truncated: "x.safetensors": tensor "a": its data end at byte 66, the file has 65 bytes\n${download}`,
  ],
  "data of another size": [
    one("F32", "[4]", "[0,4]"),
    `checkpoint/size: "x.safetensors": tensor "a": F32 [4] takes 16 bytes, its data_offsets hold 4\n${damaged}`,
  ],
  "an overlap": [
    file(`{"a":${good},"b\\u001b":${tensor("U8", "[2]", "[3,5]")}}`, 5),
    `checkpoint/overlap: "x.safetensors": tensors "a" and "b\\u001b" overlap at byte 122\n${damaged}`,
  ],
  "an empty tensor inside another": [
    file(`{"a":${good},"b":${tensor("U8", "[0]", "[2,2]")}}`, 4),
    `checkpoint/overlap: "x.safetensors": tensors "a" and "b" overlap at byte 115\n${damaged}`,
  ],
  "a hole": [
    one("U8", "[2]", "[2,4]"),
    `checkpoint/hole: "x.safetensors": bytes 61 to 63, before tensor "a", belong to no tensor\n${damaged}`,
  ],
  "bytes at the end": [
    one("U8", "[2]", "[0,2]"),
    `checkpoint/hole: "x.safetensors": the last 2 bytes of the file belong to no tensor\n${damaged}`,
  ],
}

describe("refused", () => {
  for (const [title, [bytes, message]] of Object.entries(refusals)) {
    test(title, async () => expect(await thrown(() => read(bytes))).toBe(message))
  }

  for (const literal of ["-1", "-0", "4.0", "3.5", "4e0", "1e400", "9007199254740992", "9007199254740993"]) {
    test(`${literal} as a dimension and as an offset`, async () => {
      const why = `holds ${literal}, which is not an integer from 0 to 2^53 - 1\n${damaged}`
      const shape = await thrown(() => read(one("U8", `[${literal}]`, "[0,4]")))
      expect(shape).toBe(`checkpoint/shape: "x.safetensors": tensor "a": shape ${why}`)
      const offsets = await thrown(() => read(one("U8", "[4]", `[0,${literal}]`)))
      expect(offsets).toBe(`checkpoint/offsets: "x.safetensors": tensor "a": data_offsets ${why}`)
    })
  }

  test("a source is not read outside its bytes", async () => {
    const source = memorySource("x", new Uint8Array(4))
    const message = (offset: string, length: string) =>
      `checkpoint/range: "x": ${length} bytes from byte ${offset} are not inside the file of 4 bytes\nhint: read only ranges that the header or the size of the source allows`
    expect(await thrown(() => source.read(2, 3))).toBe(message("2", "3"))
    expect(await thrown(() => source.read(-1, 2))).toBe(message("-1", "2"))
    expect(await thrown(() => source.read(0.5, 1))).toBe(message("0.5", "1"))
    expect(await thrown(() => source.read(0, Number.NaN))).toBe(message("0", "NaN"))
    expect(await source.read(4, 0)).toHaveLength(0)
    await source.close()
  })
})
