/** Formats by their names. */
import { acrossFormat, alongName } from "./across.js"
import { blockFormats } from "./blocks.js"
import { eightBitFormatNamed } from "./eight-bit-floats.js"
import type { Format } from "./format.js"
import { groupFormatNamed } from "./groups.js"
import { narrowName, wideFormat } from "./wide.js"

const known = new Map<string, Format>(blockFormats.map((format) => [format.name, format]))

/** The format of that name, the same object each time; `undefined` for what is none, such as `F16`. */
export function formatNamed(name: string): Format | undefined {
  const format = known.get(name) ?? groupFormatNamed(name) ?? eightBitFormatNamed(name) ?? heldFormatNamed(name)
  if (format !== undefined) known.set(name, format)
  return format
}

/** The wide one of a format that has numbers of 16 bits, or the one with scales across. */
function heldFormatNamed(name: string): Format | undefined {
  const [narrow, along] = [narrowName(name), alongName(name)]
  const of = narrow ?? along
  const format = of === undefined ? undefined : formatNamed(of)
  const held = format === undefined ? undefined : narrow === undefined ? acrossFormat(format) : wideFormat(format)
  return held?.name === name ? held : undefined
}
