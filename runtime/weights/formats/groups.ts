/**
 * Integers with a scale for each group of a row, as GPTQ, AWQ and compressed-tensors have them.
 *
 *     int4-g128               a zero and a scale in f16 for each 128 weights of a row       weight = scale · (code − zero)
 *     int4-g128-symmetric     no zero: that is 8, the middle of the codes
 *     int8-row-bf16           one group for each row, scales in bf16
 *     int4-g128-ordered       which group a column is in stands in a plane that all rows share (GPTQ with act-order)
 */
import { type Format, type FormatName, type Plane, plane } from "./format.js"

export interface GroupOptions {
  readonly bits: 2 | 4 | 8
  /** Weights along a row; `row` for all. */
  readonly group: number | "row"
  /** Without zeros. */
  readonly symmetric: boolean
  /** Columns say which group they are in. */
  readonly ordered: boolean
  readonly scale: "f16" | "bf16" | "f32"
}

/** The format of such integers. */
export function groupFormat({ bits, group, symmetric, ordered, scale }: GroupOptions): Format {
  const ofGroups = (p: Plane): Plane => (ordered ? { ...p, by: "group" } : p)
  const zero = ofGroups(plane("zero", `u${bits}`, group))
  const parts = [
    `int${bits}`,
    group === "row" ? "row" : `g${group}`,
    ...(symmetric ? ["symmetric"] : []),
    ...(ordered ? ["ordered"] : []),
    ...(scale === "f16" ? [] : [scale]),
  ]
  return {
    name: parts.join("-") as FormatName,
    planes: [
      plane("codes", `u${bits}`, 1),
      ofGroups(plane("scale", scale, group)),
      ...(symmetric ? [] : [zero]),
      ...(ordered ? [{ ...plane("group", "u16", 1), shared: true } as const] : []),
    ],
    decode: (a, { codes, scale, zero = a.number(2 ** (bits - 1)) }) => a.mul(scale!, a.sub(codes!, zero)),
    block: 1,
  }
}

const pattern = /^int([248])-(row|g[1-9]\d{0,8})(-symmetric)?(-ordered)?(-bf16|-f32)?$/

/** The format of that name, if it is one of groups. */
export function groupFormatNamed(name: string): Format | undefined {
  const found = pattern.exec(name)
  if (found === null) return undefined
  const [, bits, group, symmetric, ordered, scale] = found
  return groupFormat({
    bits: Number(bits) as GroupOptions["bits"],
    group: group === "row" ? group : Number(group!.slice(1)),
    symmetric: symmetric !== undefined,
    ordered: ordered !== undefined,
    scale: (scale?.slice(1) ?? "f16") as GroupOptions["scale"],
  })
}
