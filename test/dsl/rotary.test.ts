/** The frequencies of rotary positions against a second way to compute them, and what is refused. */
import { describe, expect, test } from "vitest"
import * as z from "zod"
import { rotaryContext, rotaryFields, rotaryFrequencies } from "../../models/rotary.js"

const schema = z.object(rotaryFields)
const frequencies = (config: object, dim: number) => rotaryFrequencies(schema.parse(config), dim)

/** YaRN by wavelengths: the channel that turns `turns` times in the context is found by bisection, and slow channels give up a share. */
function yarnByWavelengths(theta: number, dim: number, context: number, factor: number, truncate: boolean): number[] {
  const wavelength = (channel: number) => 2 * Math.PI * Math.exp((2 * channel * Math.log(theta)) / dim)
  const channelOf = (turns: number) => {
    let [low, high] = [-1000, 1000]
    for (let round = 0; round < 200; round++) {
      const middle = (low + high) / 2
      if (wavelength(middle) * turns < context) low = middle
      else high = middle
    }
    return low
  }
  const first = Math.max(0, truncate ? Math.floor(channelOf(32)) : channelOf(32))
  const last = Math.min(dim - 1, truncate ? Math.ceil(channelOf(1)) : channelOf(1))
  return Array.from({ length: dim / 2 }, (_, channel) => {
    const full = (2 * Math.PI) / wavelength(channel)
    if (channel <= first) return full
    if (channel >= last) return full / factor
    return full - ((channel - first) / (last - first)) * (full - full / factor)
  })
}

const close = (found: readonly number[], wanted: readonly number[]) => {
  expect(found.length).toBe(wanted.length)
  for (const [i, f] of found.entries()) expect(Math.abs(f / wanted[i]! - 1)).toBeLessThan(1e-12)
}

describe("frequencies", () => {
  test("default: theta^(−2i/dim), whichever field holds theta", () => {
    const wanted = { frequencies: [1, 0.1, 0.01, 0.001], scaling: 1 }
    for (const config of [
      { rope_theta: 10_000 },
      { rope_theta: 10_000, rope_scaling: null },
      { rope_theta: 10_000, rope_scaling: { type: "default" } },
      { rope_parameters: { rope_theta: 10_000, rope_type: "default" } },
      {},
    ]) {
      const found = frequencies(config, 8)
      close(found.frequencies, wanted.frequencies)
      expect(found.scaling).toBe(1)
    }
  })

  test("linear: positions are divided by the factor", () => {
    const found = frequencies({ rope_theta: 10_000, rope_scaling: { rope_type: "linear", factor: 4 } }, 4)
    expect(found).toEqual({ frequencies: [0.25, 0.0025], scaling: 1 })
  })

  test.each([true, false])("yarn, truncate %s", (truncate) => {
    const found = frequencies(
      {
        rope_theta: 1e6,
        rope_scaling: { type: "yarn", factor: 4, original_max_position_embeddings: 32768, truncate },
      },
      128,
    )
    close(found.frequencies, yarnByWavelengths(1e6, 128, 32768, 4, truncate))
    expect(found.scaling).toBeCloseTo(1.138629436111989, 14)
  })

  test("yarn: the range of the ramp stays within the channels", () => {
    const found = frequencies(
      { rope_parameters: { rope_theta: 10_000, rope_type: "yarn", factor: 4, original_max_position_embeddings: 32 } },
      24,
    )
    close(found.frequencies, yarnByWavelengths(10_000, 24, 32, 4, true))
  })

  test("yarn: without an original context the maximum is it", () => {
    const found = frequencies(
      { max_position_embeddings: 2048, rope_theta: 10_000, rope_scaling: { rope_type: "yarn", factor: 2 } },
      64,
    )
    close(found.frequencies, yarnByWavelengths(10_000, 64, 2048, 2, true))
  })

  test.each([
    [{ attention_factor: 1.5 }, 1.5],
    [{ mscale: 2 }, 0.1 * Math.log(8) + 1],
    [{ mscale: 2, mscale_all_dim: 0.5 }, (0.2 * Math.log(8) + 1) / (0.05 * Math.log(8) + 1)],
    [{ attention_factor: 1.5, mscale: 2, mscale_all_dim: 0.5 }, 1.5],
  ])("yarn: the scaling for %o", (fields, scaling) => {
    const config = { rope_scaling: { rope_type: "yarn", factor: 8, ...fields } }
    expect(frequencies(config, 64).scaling).toBeCloseTo(scaling, 14)
  })
})

describe("context", () => {
  const most = 40_960
  test.each([
    ["no scaling", {}, most],
    [
      "Qwen3's recipe",
      { rope_scaling: { rope_type: "yarn", factor: 4, original_max_position_embeddings: 32768 } },
      131_072,
    ],
    ["the older name", { rope_scaling: { type: "yarn", factor: 4, original_max_position_embeddings: 32768 } }, 131_072],
    [
      "the newer field",
      { rope_parameters: { rope_type: "yarn", factor: 2.5, original_max_position_embeddings: 32768 } },
      81_920,
    ],
    [
      "a small factor",
      { rope_scaling: { rope_type: "yarn", factor: 1, original_max_position_embeddings: 32768 } },
      most,
    ],
    ["no original context", { rope_scaling: { rope_type: "yarn", factor: 2 } }, 2 * most],
    [
      "the original context beside it",
      { original_max_position_embeddings: 16384, rope_scaling: { type: "yarn", factor: 3 } },
      49_152,
    ],
    [
      "no factor",
      { rope_scaling: { rope_type: "yarn", factor: null, original_max_position_embeddings: 10_240 } },
      most,
    ],
    ["linear", { rope_scaling: { rope_type: "linear", factor: 4 } }, 4 * most],
    ["default", { rope_scaling: { rope_type: "default", factor: 4 } }, most],
    ["nothing in the field", { rope_scaling: {} }, most],
    ["beyond what is counted in", { rope_scaling: { rope_type: "yarn", factor: 1e9 } }, 2 ** 31 - 1],
  ])("%s", (_, config, context) => {
    expect(rotaryContext(schema.parse({ max_position_embeddings: most, ...config }))).toBe(context)
  })
})

test("without a factor, YaRN stretches the original context to the maximum", () => {
  const fields = { rope_type: "yarn", original_max_position_embeddings: 8192 }
  const config = { max_position_embeddings: 32768, rope_theta: 1e6 }
  expect(frequencies({ ...config, rope_scaling: { ...fields, factor: null } }, 64)).toEqual(
    frequencies({ ...config, rope_scaling: { ...fields, factor: 4 } }, 64),
  )
})

describe("refused", () => {
  test.each([
    [{ type: "dynamic", factor: 2 }, "rope_type 'dynamic' is not supported; default, linear, yarn, llama3 are"],
    [{ rope_type: "longrope", factor: 2 }, "rope_type 'longrope' is not supported; default, linear, yarn, llama3 are"],
    [
      { rope_type: "longrope", short_factor: [1], long_factor: [2] },
      "rope_type 'longrope' is not supported; default, linear, yarn, llama3 are",
    ],
    [{ rope_type: "linear" }, "rope_type 'linear' needs a factor"],
    [{ rope_type: "yarn", type: "linear", factor: 2 }, "rope_type is 'yarn' and type is 'linear'; leave one"],
    [{ rope_type: "yarn" }, "rope_type 'yarn' needs a factor"],
    [{ rope_type: "default", partial_rotary_factor: 0.25 }, "partial_rotary_factor other than 1 is not supported"],
    [
      { full_attention: { rope_type: "default" } },
      "rotary parameters for each layer type ('full_attention') are not supported",
    ],
  ])("%o", (rope, message) => {
    for (const field of ["rope_scaling", "rope_parameters"]) {
      const { error } = schema.safeParse({ [field]: rope })
      expect(error?.issues.map((issue) => issue.message)).toEqual([message])
      expect(error?.issues[0]?.path[0]).toBe(field)
    }
  })
})
