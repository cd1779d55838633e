/**
 * A checkpoint that is cut into several safetensors files, and the index that tells which tensor is in which.
 *
 * The index and the files must say the same: each tensor is in the file that the index names, once, and no file holds another.
 */

import { type ErrorCode, printable, WeftError } from "../errors.js"
import type { StoredTensor } from "./checkpoint.js"
import { JsonReader } from "./json.js"
import type { SafetensorsHeader } from "./safetensors.js"

const hint = "the folder mixes files of different exports or the download is incomplete; fetch all of it again"

/** Tensor → file. */
export type WeightMap = ReadonlyMap<string, string>

/**
 * The `weight_map` of a `model.safetensors.index.json`.
 *
 * @param name what messages call the index
 * @throws WeftError `checkpoint/json`, `checkpoint/duplicate`, or `checkpoint/index` for a file name that is not a plain name
 */
export function parseIndex(name: string, text: string): WeightMap {
  const refuse = (code: ErrorCode, problem: string): never => {
    throw new WeftError(code, `${printable(name)}: ${problem}`, { hint: "fetch the index again, or export it again" })
  }
  const json = new JsonReader(text, (why) => refuse("checkpoint/json", `the index is not as it must be: ${why}`))
  let map: Map<string, string> | undefined
  for (const key of json.keys()) {
    if (key !== "weight_map") {
      json.skip()
      continue
    }
    if (map) refuse("checkpoint/duplicate", `"weight_map" stands twice`)
    map = new Map()
    for (const tensor of json.keys()) {
      if (map.has(tensor)) refuse("checkpoint/duplicate", `tensor ${printable(tensor)} stands twice in the weight_map`)
      const file = json.string()
      if (!isPlainName(file)) {
        refuse(
          "checkpoint/index",
          `tensor ${printable(tensor)} is in ${printable(file)}, which is not a plain file name`,
        )
      }
      map.set(tensor, file)
    }
  }
  json.end()
  return map ?? refuse("checkpoint/index", `there is no "weight_map"`)
}

/** Whether a name stays in its folder on every system: no separator, drive or stream, parent, control character, nor empty. */
function isPlainName(name: string): boolean {
  return name !== "" && name !== "." && name !== ".." && !/[/\\:\p{Cc}]/u.test(name)
}

/**
 * All tensors of the files whose headers were read, checked against the index where there is one.
 *
 * @throws WeftError `checkpoint/duplicate` for a tensor in two files, `checkpoint/index` where index and files disagree
 */
export function collectTensors(
  folder: string,
  headers: ReadonlyMap<string, SafetensorsHeader>,
  index?: WeightMap,
): ReadonlyMap<string, StoredTensor> {
  const tensors = new Map<string, StoredTensor>()
  const refuse = (code: ErrorCode, problem: string): never => {
    throw new WeftError(code, `${printable(folder)}: ${problem}`, { hint })
  }
  for (const [file, header] of headers) {
    for (const [name, info] of header.tensors) {
      const other = tensors.get(name)
      if (other) {
        const problem = `tensor ${printable(name)} is in ${printable(other.file)} and in ${printable(file)}`
        refuse("checkpoint/duplicate", problem)
      }
      tensors.set(name, { ...info, file, byteLength: info.end - info.begin })
    }
  }
  for (const [name, file] of index ?? []) {
    const found = tensors.get(name)?.file
    if (found === file) continue
    const instead = found === undefined ? "it is not there" : `it is in ${printable(found)}`
    refuse("checkpoint/index", `the index puts tensor ${printable(name)} in ${printable(file)}, but ${instead}`)
  }
  for (const { name, file } of index ? tensors.values() : []) {
    if (index?.has(name)) continue
    refuse("checkpoint/index", `tensor ${printable(name)} of ${printable(file)} is not in the index`)
  }
  return tensors
}
