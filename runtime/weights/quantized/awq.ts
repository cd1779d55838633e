/**
 * AWQ as its kernels for matrices have it ("gemm"): codes in words along `out`, the fields of a word in an order of their own. Source: AutoAWQ.
 *
 *     X.qweight I32 [in, out / 8]   X.qzeros I32 [groups, out / 8]   X.scales [groups, out]   →   X.weight int4-g128 [out, in]
 */
import { printable } from "../../errors.js"
import { groupFormat } from "../formats/groups.js"
import { scaleFields } from "./gptq.js"
import { countOf, oneOf, refuse, type Settings } from "./settings.js"
import { byRows, neededPart, type QuantizedWeight, type Stored, stemsOf } from "./stored.js"
import { awqOrder, turnedFields, turnedNumbers } from "./transposed.js"
import { turnedZeros } from "./zeros.js"

/** Which field of a word each of its eight columns is. */
const fieldOfColumn = awqOrder.map((_, column) => awqOrder.indexOf(column as (typeof awqOrder)[number]))

/** @throws WeftError `checkpoint/quantization` for settings or tensors that are not read */
export async function awqWeights(stored: Stored, settings: Settings): Promise<readonly QuantizedWeight[]> {
  oneOf(settings, "bits", [4], 4)
  oneOf(settings, settings.fields.version == null ? "format" : "version", ["gemm"], "gemm")
  oneOf(settings, "zero_point", [true], true)
  oneOf(settings, "backend", ["autoawq", "auto"], "auto")
  const group = settings.fields.group_size === -1 ? -1 : countOf(settings, "group_size", 128)
  return stemsOf(stored, ".qweight").map((stem) => weightOf(stored, stem, group))
}

function weightOf(stored: Stored, stem: string, group: number): QuantizedWeight {
  const codes = neededPart(stored, `${stem}.qweight`, ["I32"])
  const [columns = 0, words = 0] = codes.shape
  if (codes.shape.length !== 2 || columns % 8 !== 0)
    refuse(stored.folder, `${printable(codes.name)} is [${codes.shape.join(", ")}], no matrix of a multiple of 8 rows`)
  const size = group === -1 ? columns : group
  const groups = Math.ceil(columns / size)
  const scales = neededPart(stored, `${stem}.scales`, Object.keys(scaleFields), [[groups, words * 8]])
  const zeros = neededPart(stored, `${stem}.qzeros`, ["I32"], [[groups, words]])
  const scale = scaleFields[scales.dtype as keyof typeof scaleFields]
  return {
    name: `${stem}.weight`,
    format: groupFormat({ bits: 4, group: groups === 1 ? "row" : size, symmetric: false, ordered: false, scale }),
    shape: [words * 8, columns],
    fill: {
      codes: byRows(turnedFields(stored, codes)),
      scale: byRows(turnedNumbers(stored, scales, scale === "f32" ? 4 : 2)),
      zero: byRows(
        turnedZeros(stored, zeros, {
          bits: 4,
          groups,
          word: (row, g) => g * words + (row >> 3),
          field: (row) => fieldOfColumn[row & 7]!,
          added: 0,
        }),
      ),
    },
    of: [codes, scales, zeros].map(({ name }) => name),
  }
}
