/** Quantized folders: what libraries packed is the weight that it stands for, to the last bit, and what is not read is refused by name. */
import { readFileSync } from "node:fs"
import { describe, expect, test } from "vitest"
import type { Checkpoint } from "../../runtime/weights/checkpoint.js"
import { decodeTensor } from "../../runtime/weights/formats/decode.js"
import { formatNamed } from "../../runtime/weights/formats/named.js"
import { quantizedCheckpoint } from "../../runtime/weights/quantized/quantized.js"
import { checkpointOf, type StoredWeight } from "../support/formats.js"
import { thrown } from "../weights/support.js"

interface Case {
  readonly name: string
  readonly config: Readonly<Record<string, unknown>>
  readonly format: string
  readonly tensors: Readonly<
    Record<string, { readonly dtype: string; readonly shape: number[]; readonly data: string }>
  >
  readonly shape: readonly number[]
  readonly weight: string
}

const cases = JSON.parse(readFileSync(new URL("folders.json", import.meta.url), "utf8")) as readonly Case[]
const bytesOf = (base64: string) => new Uint8Array(Buffer.from(base64, "base64"))
const norm: StoredWeight = { name: "model.norm.weight", shape: [2], dtype: "F32", bytes: new Uint8Array(8) }
const stem = "model.layers.0.mlp.up_proj"

function tensorsOf({ tensors }: Case): readonly StoredWeight[] {
  const stored = Object.entries(tensors).map(([name, { dtype, shape, data }]) => {
    return { name, shape, dtype: dtype as "I32", bytes: bytesOf(data) }
  })
  return [norm, ...stored]
}

const open = (config: object, tensors: readonly StoredWeight[]): Promise<Checkpoint> =>
  quantizedCheckpoint(checkpointOf({ model_type: "qwen3", quantization_config: config }, tensors))

describe("what libraries packed", () => {
  test.each(cases.map((c) => [c.name, c] as const))("%s", async (_, packed) => {
    const checkpoint = await open(packed.config, tensorsOf(packed))
    expect([...checkpoint.tensors.keys()]).toEqual([norm.name, `${stem}.weight`])
    expect(checkpoint.config).toEqual({ model_type: "qwen3" })
    const tensor = checkpoint.tensors.get(`${stem}.weight`)!
    expect([tensor.dtype, tensor.shape]).toEqual([packed.format, packed.shape])
    const whole = await checkpoint.read(tensor)
    const weights = decodeTensor(formatNamed(tensor.dtype)!, tensor.shape, whole)
    expect([...new Uint32Array(weights.buffer)]).toEqual([...new Uint32Array(bytesOf(packed.weight).buffer)])
    expect(await checkpoint.read(checkpoint.tensors.get(norm.name)!, 4)).toEqual(new Uint8Array(4))

    // Any range of bytes is that of the whole, wherever it is put.
    for (let i = 0; i < 60; i++) {
      const begin = (i * 977) % whole.length
      const length = 1 + ((i * i * 131) % (whole.length - begin))
      const into = new Uint8Array(length + 3).fill(0xa5).subarray(i % 4, (i % 4) + length)
      expect(await checkpoint.read(tensor, begin, length, into)).toBe(into)
      expect(Buffer.compare(into, whole.subarray(begin, begin + length))).toBe(0)
    }
  })

  test("where the columns of one weight are out of order, those of the others count as such", async () => {
    const [first, second] = ["gptq symmetric in another order", "gptq symmetric"].map(
      (name) => cases.find((c) => c.name === name)!,
    )
    const renamed = tensorsOf(second!).map((t) => ({ ...t, name: t.name.replace("up_proj", "down_proj") }))
    const checkpoint = await open(first!.config, [...tensorsOf(first!), ...renamed.slice(1)])
    for (const [name, { weight }] of [
      [stem, first!],
      [stem.replace("up", "down"), second!],
    ] as const) {
      const tensor = checkpoint.tensors.get(`${name}.weight`)!
      expect(tensor.dtype).toBe("int4-g32-symmetric-ordered")
      const weights = decodeTensor(formatNamed(tensor.dtype)!, tensor.shape, await checkpoint.read(tensor))
      expect(Buffer.compare(new Uint8Array(weights.buffer), bytesOf(weight))).toBe(0)
    }
  })

  test("a bias of zeros that GPTQ's exporters added is left out, any other is not", async () => {
    const found = cases.find((c) => c.name === "gptq symmetric")!
    for (const at of [undefined, 0, 47]) {
      const bytes = new Uint8Array(48)
      if (at !== undefined) bytes[at] = 1
      const bias: StoredWeight = { name: `${stem}.bias`, shape: [24], dtype: "F16", bytes }
      const { tensors } = await open(found.config, [...tensorsOf(found), bias])
      expect([...tensors.keys()]).toEqual([norm.name, `${stem}.weight`, ...(at === undefined ? [] : [bias.name])])
    }
  })

  test("matrices that are read in several parts, and few of their columns", async () => {
    const [columns, out] = [4096, 2600]
    const words = Uint32Array.from({ length: (columns / 8) * out }, (_, i) => Math.imul(i + 1, 2654435761))
    const part = (name: string, dtype: "I32" | "F16", shape: number[], bytes: Uint8Array) => ({
      name,
      dtype,
      shape,
      bytes,
    })
    const small = (count: number) => new Uint8Array(count * 2)
    const tensors = (shape: number[]) => [
      part("w.qweight", "I32", shape, new Uint8Array(words.buffer)),
      part("w.scales", "F16", [1, out], small(out)),
      part("w.qzeros", "I32", [1, out / 8], small((out / 8) * 2)),
    ]
    const field = (word: number, i: number) => (word >>> (i * 4)) & 15
    for (const [config, shape, codeOf] of [
      [
        { quant_method: "gptq", bits: 4, group_size: -1, sym: false, checkpoint_format: "gptq_v2" },
        [columns / 8, out],
        (row: number, column: number) => field(words[Math.floor(column / 8) * out + row]!, column % 8),
      ],
      [
        { quant_method: "awq", bits: 4, group_size: -1 },
        [columns, out / 8],
        (row: number, column: number) =>
          field(words[column * (out / 8) + (row >> 3)]!, [0, 4, 1, 5, 2, 6, 3, 7][row & 7]!),
      ],
    ] as const) {
      const checkpoint = await open(config, tensors([...shape]))
      const tensor = checkpoint.tensors.get("w.weight")!
      const whole = await checkpoint.read(tensor)
      const wrong = Array.from(
        { length: 20_000 },
        (_, i) => [(i * 7919) % out, (i * 104729) % columns] as const,
      ).filter(([row, column]) => {
        const byte = whole[(row * columns + column) >> 1]!
        return (column & 1 ? byte >> 4 : byte & 15) !== codeOf(row, column)
      })
      expect(wrong).toEqual([])
      // Rows of the plane are columns of the file: of these few each row is read alone.
      const [begin, length] = [1000 * 2048 + 5, 40 * 2048]
      expect(Buffer.compare(await checkpoint.read(tensor, begin, length), whole.subarray(begin, begin + length))).toBe(
        0,
      )
    }
  })
})

/** How a case fails with some of its config replaced, and some tensors: the first line, without quotes. */
async function failure(
  name: string,
  config: object,
  change: (tensors: StoredWeight[]) => readonly StoredWeight[] = (t) => t,
) {
  const found = cases.find((c) => c.name === name)!
  const action = async () => {
    const checkpoint = await open({ ...found.config, ...config }, change([...tensorsOf(found)]))
    await checkpoint.read(checkpoint.tensors.get(`${stem}.weight`)!)
  }
  return (await thrown(action)).split("\n")[0]!.replaceAll('"', "")
}

const without = (ending: string) => (tensors: StoredWeight[]) => tensors.filter((t) => !t.name.endsWith(ending))
const also = (weight: StoredWeight) => (tensors: StoredWeight[]) => [...tensors, weight]
const altered = (ending: string, alter: (bytes: Uint8Array) => void) => (tensors: StoredWeight[]) =>
  tensors.map((t) => {
    if (!t.name.endsWith(ending)) return t
    const bytes = t.bytes.slice()
    alter(bytes)
    return { ...t, bytes }
  })
const q = "checkpoint/quantization: memory: quantization_config"

describe("what is not read", () => {
  test.each([
    [
      "gptq symmetric",
      { quant_method: "bitsandbytes" },
      `${q}.quant_method is bitsandbytes; gptq, awq, fp8, fbgemm_fp8 and compressed-tensors are read`,
    ],
    ["gptq symmetric", { bits: 3 }, `${q}.bits is 3; 2, 4 and 8 are read`],
    ["gptq symmetric", { group_size: 0 }, `${q}.group_size is 0; it has to be a positive integer`],
    ["gptq symmetric", { checkpoint_format: "marlin" }, `${q}.checkpoint_format is marlin; gptq and gptq_v2 are read`],
    ["gptq symmetric", { is_marlin_format: true }, `${q}.is_marlin_format is true; this is not computed`],
    [
      "gptq symmetric",
      { dynamic: { "+:.*down": { bits: 8 } } },
      `${q}.dynamic is {+:.*down:{bits:8}}; settings for some modules alone are not read`,
    ],
    ["awq", { version: "gemv" }, `${q}.version is gemv; gemm is read`],
    ["awq", { zero_point: false }, `${q}.zero_point is false; true is read`],
    ["awq", { bits: 8 }, `${q}.bits is 8; 4 is read`],
    ["fp8 in blocks", { fmt: "e5m2" }, `${q}.fmt is e5m2; e4m3 and float8_e4m3fn are read`],
    [
      "fp8 in blocks",
      { weight_block_size: [128] },
      `${q}.weight_block_size is [128]; it has to be two positive integers`,
    ],
    [
      "compressed-tensors, symmetric",
      { format: "nvfp4-pack-quantized" },
      `${q}.format is nvfp4-pack-quantized; pack-quantized and int-quantized are read`,
    ],
    ["compressed-tensors, symmetric", { config_groups: [] }, `${q}.config_groups is []; it has to be an object`],
    [
      "compressed-tensors, symmetric",
      { sparsity_config: { format: "sparse-24-bitmask" } },
      `${q}.sparsity_config.format is sparse-24-bitmask; dense is read`,
    ],
    [
      "compressed-tensors, symmetric",
      { transform_config: { config_groups: {} } },
      `${q}.transform_config is {config_groups:{}}; this is not computed`,
    ],
  ])("%s with %o", async (name, config, message) => {
    expect(await failure(name, config)).toBe(message)
  })

  test("a group of a config, by its place", async () => {
    const weights = { num_bits: 4, type: "float", strategy: "group", group_size: 16 }
    const config = { format: "float-quantized", config_groups: { group_0: { targets: ["Linear"], weights } } }
    expect(await failure("compressed-tensors, symmetric", config)).toBe(
      `${q}.config_groups.group_0.weights.num_bits is 4; 8 is read`,
    )
    const other = { group_0: { weights: { num_bits: 4, type: "int", group_size: 16 } } }
    expect(await failure("compressed-tensors, symmetric", { config_groups: other })).toBe(
      "checkpoint/quantization: memory: model.layers.0.mlp.up_proj.weight_packed is [24, 8] with scales [24, 2] for weights [24, 64], as no group of quantization_config.config_groups has it",
    )
  })

  const m = "checkpoint/quantization: memory: "
  test.each([
    ["gptq symmetric", without(".scales"), `${m}there is no tensor ${stem}.scales`],
    ["gptq symmetric", without(".qweight"), `${m}config.json has a quantization_config, and no tensor is quantized`],
    ["gptq symmetric", also({ ...norm, name: "lm_head.qzeros" }), `${m}lm_head.qzeros is part of no quantized weight`],
    [
      "gptq symmetric",
      also({ ...norm, name: `${stem}.weight` }),
      `${m}${stem}.weight is stored twice, quantized and as it is`,
    ],
    [
      "gptq symmetric",
      altered(".qzeros", (b) => b.fill(0x66)),
      `${m}${stem}.qzeros has zeros besides 7 or 8, though quantization_config.sym is true`,
    ],
    [
      "gptq symmetric",
      altered(".qzeros", (b) => b.fill(0x88, 4)),
      `${m}${stem}.qzeros has zeros besides 7 or 8, though quantization_config.sym is true`,
    ],
    [
      "gptq in another order",
      altered(".g_idx", (b) => {
        b[8] = 3
      }),
      `${m}${stem}.g_idx puts column 2 into group 3, and there are 3`,
    ],
    ["fp8 in blocks", without("_scale_inv"), `${m}there is no tensor ${stem}.weight_scale`],
    [
      "fp8 in blocks",
      altered("up_proj.weight", (b) => {
        b[70] = 0xff
      }),
      `checkpoint/number: ${stem}.weight: what is in row 1, column 6 is no number`,
    ],
    [
      "fp8 in blocks, some of them cut off",
      altered("up_proj.weight", (b) => {
        b[b.length - 1] = 0x7f
      }),
      `checkpoint/number: ${stem}.weight: what is in row 23, column 69 is no number`,
    ],
    [
      "fp8 of a tensor",
      altered("weight_scale", (b) => {
        b.fill(0)
        b[3] = 0x7f
        b[2] = 0x80
      }),
      `checkpoint/number: ${stem}.weight_scale: scale 0 is Infinity`,
    ],
    [
      "compressed-tensors, symmetric",
      altered("weight_shape", (b) => b.fill(0)),
      `${m}${stem}.weight_shape holds 0 and 0, which is no shape`,
    ],
  ] as const)("tensors of %s that do not fit, case %#", async (name, change, message) => {
    expect(await failure(name, {}, change)).toBe(message)
  })

  test("integers as they are whose scales are of no group", async () => {
    const name = "compressed-tensors, integers as they are"
    const weights = { num_bits: 8, type: "int", group_size: 16 }
    expect(await failure(name, { config_groups: { group_0: { weights } } })).toBe(
      `${m}${stem}.weight is I8 [24, 64] with scales [24, 1], as no group of quantization_config.config_groups has it`,
    )
    expect(await failure(name, {}, without("_scale"))).toBe(`${m}there is no tensor ${stem}.weight_scale`)
  })

  test("a code that is no number far into a tensor, by its place", async () => {
    const codes = new Uint8Array(1024 * 1500)
    codes[1024 * 1300 + 700] = 0x7f
    const parts = [
      { name: "w.weight", dtype: "F8_E4M3" as const, shape: [1500, 1024], bytes: codes },
      { name: "w.weight_scale", dtype: "F32" as const, shape: [1], bytes: new Uint8Array(4) },
    ]
    const checkpoint = await open({ quant_method: "fp8" }, parts)
    const tensor = checkpoint.tensors.get("w.weight")!
    const half = 1024 * 750
    expect(await checkpoint.read(tensor, 0, half)).toEqual(new Uint8Array(half))
    expect(await thrown(() => checkpoint.read(tensor, 1024, 1024 * 1400))).toMatch(
      '"w.weight": what is in row 1300, column 700',
    )
    expect(parts[0]!.bytes.filter((code) => code !== 0)).toHaveLength(1)
  })

  test("scales of another block, by their shapes", async () => {
    expect(await failure("fp8 in blocks", { weight_block_size: [8, 32] })).toBe(
      `${m}${stem}.weight_scale_inv is F32 [2, 2], and has to be [3, 2] or [24, 1] or [24] or [1] or [] or [1, 1]`,
    )
  })

  test("a config that asks for nothing leaves the checkpoint as it is", async () => {
    for (const config of [undefined, null, {}]) {
      const plain = checkpointOf({ quantization_config: config }, [norm])
      expect(await quantizedCheckpoint(plain)).toBe(plain)
    }
    expect(await thrown(() => quantizedCheckpoint(checkpointOf({ quantization_config: 4 }, [norm])))).toMatch(
      "has to be an object",
    )
  })
})
