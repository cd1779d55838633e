/** Bytes that each launch of a step moves: the model is compiled once more, for an artifact does not say it. */
import { resolve } from "node:path"
import type { CompileModelOptions } from "../../compiler/internal.js"
import type { Session } from "../../runtime/session.js"
import { openCheckpoint } from "../../runtime/weights/folder.js"
import type { Arguments } from "../arguments.js"
import { familyFile, weightsOf } from "../artifact.js"
import { checkpointFolder } from "../hub/pull.js"
import { readObject, weightsIn } from "../subject.js"
import { tunedFor } from "../tuned.js"
import type { LaunchBytes } from "./profile.js"

/** Of the launches of `entries` by their kernels' numbers; empty where compiling again gives other kernels. */
export async function launchBytes(
  { artifact, device }: Session,
  values: Arguments,
  folder: string,
  { entries, past }: { readonly entries: readonly string[]; readonly past: number },
): Promise<LaunchBytes> {
  const { compileFile, kernelCosts } = await import("../../compiler/internal.js")
  const { file, config, tensors } = await subjectFor(values, folder)
  const tuned = await tunedFor(device, values.tuned)
  const options = { tensors, context: values.context, precision: artifact.precision, tuned }
  const { compilation } = await compileFile(file, config, artifact.target, options)
  const texts = (kernels: typeof artifact.kernels) => kernels.map((kernel) => kernel.source).join("\n")
  if (texts(compilation.artifact.kernels) !== texts(artifact.kernels)) return new Map()
  const sizes = new Map([
    ["past", past],
    ["seq", 1],
  ])
  const costs = entries.flatMap((entry) => kernelCosts(compilation, entry, sizes, undefined))
  return new Map(costs.map(({ kernel, bytes }) => [kernel, bytes]))
}

interface BenchSubject {
  readonly file: string
  readonly config: Readonly<Record<string, unknown>>
  readonly tensors: NonNullable<CompileModelOptions["tensors"]>
}

/** As the model that is measured was compiled. */
async function subjectFor(values: Arguments, folder: string): Promise<BenchSubject> {
  const given = values["model-file"]
  const fileFor = (subject: Parameters<typeof familyFile>[0]) =>
    given === undefined ? familyFile(subject) : resolve(given)
  if (values.config !== undefined) {
    const config = await readObject(values.config)
    return { file: fileFor({ config, folder: values.config }), config, tensors: weightsIn(values.weights) }
  }
  const checkpoint = await openCheckpoint(await checkpointFolder(folder))
  await checkpoint.close()
  const tensors: BenchSubject["tensors"] = (expected, names) => weightsOf(checkpoint, expected, names)
  return { file: fileFor(checkpoint), config: checkpoint.config, tensors }
}
