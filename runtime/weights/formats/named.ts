/** Formats by their names. */
import { blockFormats } from "./blocks.js"
import { eightBitFormatNamed } from "./eight-bit-floats.js"
import type { Format } from "./format.js"
import { groupFormatNamed } from "./groups.js"
import { narrowName, wideFormat } from "./wide.js"

const known = new Map<string, Format>(blockFormats.map((format) => [format.name, format]))

/** The format of that name, the same object each time; `undefined` for what is none, such as `F16`. */
export function formatNamed(name: string): Format | undefined {
  const format = known.get(name) ?? groupFormatNamed(name) ?? eightBitFormatNamed(name) ?? wideFormatNamed(name)
  if (format !== undefined) known.set(name, format)
  return format
}

/** The wide one of a format that has numbers of 16 bits. */
function wideFormatNamed(name: string): Format | undefined {
  const narrow = narrowName(name)
  const format = narrow === undefined ? undefined : formatNamed(narrow)
  const wide = format === undefined ? undefined : wideFormat(format)
  return wide?.name === name ? wide : undefined
}
