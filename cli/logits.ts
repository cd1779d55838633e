/**
 * weft logits: the logits of every position, as the tensor `logits` [seq, vocab] of a safetensors file.
 */
import { writeSafetensors } from "../runtime/weights/safetensors-writer.js"
import { parse, UsageError } from "./arguments.js"
import { flagsOf } from "./commands.js"
import { openModel } from "./model.js"
import { writeResult } from "./result.js"

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
    await writeResult(out, writeSafetensors([{ name: "logits", dtype: "F32", shape, data: bytes }]))
    return 0
  } finally {
    model.dispose()
  }
}
