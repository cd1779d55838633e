/** Opens the model that the arguments name, with its progress on standard error. */
import type { Arguments } from "./arguments.js"
import { deviceNames } from "./device.js"
import { type LoadedModel, load, type NodeLoadOptions } from "./node.js"
import { createProgress, loadReporter } from "./output.js"
import { shippedCheckpoint } from "./package.js"

export async function openModel(values: Arguments, more: Pick<NodeLoadOptions, "needs"> = {}): Promise<LoadedModel> {
  const progress = createProgress()
  try {
    return await load(values.model ?? shippedCheckpoint, {
      device: deviceNames.find((name) => name === values.device),
      threads: values.threads,
      precision: values.precision,
      accesses: values.accesses,
      experimentalGpu: values["experimental-gpu"],
      context: values.context,
      tuned: values.tuned,
      model: values["model-file"],
      cache: values["no-cache"] === true ? false : undefined,
      ...more,
      onProgress: loadReporter(progress),
    })
  } finally {
    progress.done()
  }
}
