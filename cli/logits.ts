/**
 * weft logits: the logits of every position, as the tensor `logits` [seq, vocab] of a safetensors file.
 */
import { writeFile } from "node:fs/promises"
import { WeftError } from "../runtime/errors.js"
import { writeSafetensors } from "../runtime/weights/safetensors-writer.js"
import { parse, UsageError } from "./arguments.js"
import { flagsOf } from "./commands.js"
import { openModel } from "./model.js"

export async function logits(args: readonly string[]): Promise<number> {
  const { values, words } = parse(args, flagsOf("logits"))
  const { tokens, out } = values
  if (words.length > 0) throw new UsageError(`logits takes no prompt, but ${JSON.stringify(words[0])} stands there`)
  if (tokens === undefined) throw new UsageError("--tokens is missing, such as --tokens 5,17,3")
  if (out === undefined) throw new UsageError("--out is missing, such as --out logits.safetensors")
  const model = await openModel(values)
  try {
    const { data, shape } = await model.logits(tokens)
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    await writeFile(out, writeSafetensors([{ name: "logits", dtype: "F32", shape, data: bytes }])).catch((cause) => {
      throw new WeftError("cli/out", `${out} cannot be written: ${cause instanceof Error ? cause.message : cause}`)
    })
    return 0
  } finally {
    model.dispose()
  }
}
