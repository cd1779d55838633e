/** weft compile: the artifact of a model as a JSON file, for a page or a server that loads no compiler. */
import { parse, UsageError } from "./arguments.js"
import { defaultTarget, flagsOf } from "./commands.js"
import { say } from "./output.js"
import { writeResult } from "./result.js"
import { missingConfig, subjectOf } from "./subject.js"
import { namedTuned } from "./tuned.js"

export async function compile(args: readonly string[]): Promise<number> {
  const { values, words } = parse(args, flagsOf("compile"))
  const { out, target = defaultTarget, context, precision } = values
  if (out === undefined) throw new UsageError("--out is missing, such as --out artifact.json")
  const subject = await subjectOf(values, words, "compile")
  const { file, config, tensors } = subject
  const tuned = values.tuned === undefined ? undefined : await namedTuned(values.tuned)
  const compiler = await import("../compiler/internal.js")
  const onWarning = (message: string) => say(`weft: ${message}`)
  const options = { context, precision, tuned, onWarning, ...(tensors && { tensors }) }
  const compiling = compiler.compile(file, config, target, options)
  const artifact = await compiling.catch((cause) => Promise.reject(missingConfig(subject, cause)))
  await writeResult(out, JSON.stringify(artifact))
  say(`weft: ${out}: ${artifact.kernels.length} kernels for ${target}`)
  return 0
}
