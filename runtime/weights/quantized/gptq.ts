/**
 * GPTQ: codes in words along `in`, a zero and a scale for each group and output. Sources: GPTQModel; of zeros that are
 * stored as they are in files of the first version, vLLM's pull request 38966.
 *
 *     X.qweight I32 [in / 8, out]   X.qzeros I32 [groups, out / 8]   X.scales [groups, out]   X.g_idx I32 [in]   →   X.weight [out, in]
 */
import { printable } from "../../errors.js"
import type { PlaneFill } from "../formats/plane-reader.js"
import { readOrder, type UnorderedWeight, withOrder } from "./order.js"
import { countOf, oneOf, refuse, refuseField, refuseUnlessEmpty, type Settings } from "./settings.js"
import { alignedBytes, byRows, neededPart, partOf, type QuantizedWeight, type Stored, stemsOf } from "./stored.js"
import { turnedNumbers, turnedWords } from "./transposed.js"
import { checkMiddle, spread, turnedZeros } from "./zeros.js"

interface Scheme {
  readonly bits: 2 | 4 | 8
  /** Columns of a group; −1 for all. */
  readonly group: number
  readonly symmetric: boolean
  /** Zeros are stored less one, unless the file is of the second version. */
  readonly lessOne: boolean
}

/** The types that scales have, as fields. */
export const scaleFields = { F16: "f16", BF16: "bf16", F32: "f32" } as const

function schemeOf(settings: Settings): Scheme {
  const bits = oneOf(settings, "bits", [2, 4, 8])
  const group = settings.fields.group_size === -1 ? -1 : countOf(settings, "group_size", 128)
  const format = oneOf(
    settings,
    settings.fields.checkpoint_format == null ? "format" : "checkpoint_format",
    ["gptq", "gptq_v2"],
    "gptq",
  )
  oneOf(settings, "pack_dtype", ["int32"], "int32")
  refuseUnlessEmpty(settings, ["is_marlin_format", "rotation", "adapter"])
  // Rules for some modules: those that leave modules out are seen by what the modules have.
  const { dynamic } = settings.fields
  if (Object.keys((dynamic as object | null) ?? {}).some((rule) => !rule.startsWith("-:")))
    refuseField(settings, "dynamic", "settings for some modules alone are not read")
  const symmetric = oneOf(settings, "sym", [true, false], true)
  return { bits, group, symmetric, lessOne: format === "gptq" }
}

/** @throws WeftError `checkpoint/quantization` for settings or tensors that are not read */
export async function gptqWeights(stored: Stored, settings: Settings): Promise<readonly QuantizedWeight[]> {
  const scheme = schemeOf(settings)
  const stems = stemsOf(stored, ".qweight")
  return withOrder(await Promise.all(stems.map((stem) => weightOf(stored, stem, scheme))))
}

async function weightOf(stored: Stored, stem: string, scheme: Scheme): Promise<UnorderedWeight> {
  const { bits, symmetric, lessOne } = scheme
  const perWord = 32 / bits
  const codes = neededPart(stored, `${stem}.qweight`, ["I32"])
  const [words = 0, out = 0] = codes.shape
  if (codes.shape.length !== 2) refuse(stored.folder, `${printable(codes.name)} is no matrix`)
  const columns = words * perWord
  const size = scheme.group === -1 ? columns : scheme.group
  const groups = Math.ceil(columns / size)
  const scales = neededPart(stored, `${stem}.scales`, Object.keys(scaleFields), [[groups, out]])
  const zeros = neededPart(stored, `${stem}.qzeros`, ["I32"], [[groups, Math.ceil(out / perWord)]])
  const index = partOf(stored, `${stem}.g_idx`, ["I32"], [[columns]])
  const scale = scaleFields[scales.dtype as keyof typeof scaleFields]
  const bias = partOf(stored, `${stem}.bias`, Object.keys(scaleFields), [[out]])
  // Older exporters wrote one for every layer, of zeros where there was none.
  const isNone = bias !== undefined && (await alignedBytes(stored, bias)).every((byte) => byte === 0)
  const check = once(() => checkMiddle(stored, zeros, bits, middles(bits, lessOne)))
  // Where zeros are not used, they are looked at before the codes are.
  const looked = (fill: PlaneFill): PlaneFill => {
    return symmetric ? async (...range) => check().then(() => fill(...range)) : fill
  }
  return {
    name: `${stem}.weight`,
    options: { bits, group: groups === 1 ? "row" : size, symmetric, scale },
    order: index && (await readOrder(stored, index, size, groups)),
    shape: [out, columns],
    fill: {
      codes: looked(byRows(turnedWords(stored, codes))),
      scale: byRows(turnedNumbers(stored, scales, scale === "f32" ? 4 : 2)),
      zero: byRows(
        turnedZeros(stored, zeros, {
          bits,
          groups,
          word: (row, group) => group * Math.ceil(out / perWord) + Math.floor(row / perWord),
          field: (row) => row % perWord,
          added: lessOne ? spread(1, bits) : 0,
        }),
      ),
    },
    of: [codes, scales, zeros, index, isNone ? bias : undefined].flatMap((t) => (t === undefined ? [] : [t.name])),
  }
}

/** What zeros in the middle are stored as. Files of version 1 are about that have them as they are, and say so nowhere. */
const middles = (bits: number, lessOne: boolean) => [...(lessOne ? [2 ** (bits - 1) - 1] : []), 2 ** (bits - 1)]

/** A function that is carried out once, however often it is called. */
function once(carryOut: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined
  return () => {
    done ??= carryOut()
    return done
  }
}
