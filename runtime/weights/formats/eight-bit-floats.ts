/**
 * Numbers of eight bits (e4m3: four of exponent, three of fraction) with a scale in f32 for each block, row or tensor.
 *
 *     fp8-128x128    for each 128 rows and 128 columns        fp8-row, fp8-tensor
 *
 * There are few scales, so that those that a file has in bf16 are widened.
 */
import { type Format, type FormatName, type Plane, plane } from "./format.js"

/** Rows and columns that share a scale. */
export type ScaledBlock = readonly [rows: number, columns: number] | "row" | "tensor"

/** The format of numbers of eight bits with such blocks. */
export function eightBitFormat(block: ScaledBlock): Format {
  const [rows, per]: readonly [Plane["rows"], Plane["per"]] =
    block === "row" ? [1, "row"] : block === "tensor" ? ["all", "row"] : block
  return {
    name: `fp8-${typeof block === "string" ? block : block.join("x")}` as FormatName,
    planes: [plane("codes", "e4m3", 1), { name: "scale", field: "f32", per, rows }],
    decode: (a, { codes, scale }) => a.mul(codes!, scale!),
    block: 1,
  }
}

const pattern = /^fp8-(?:(row|tensor)|([1-9]\d{0,8})x([1-9]\d{0,8}))$/

/** The format of that name, if it is one of numbers of eight bits. */
export function eightBitFormatNamed(name: string): Format | undefined {
  const found = pattern.exec(name)
  if (found === null) return undefined
  const [, whole, rows, columns] = found
  return eightBitFormat(whole === undefined ? [Number(rows), Number(columns)] : (whole as "row" | "tensor"))
}
