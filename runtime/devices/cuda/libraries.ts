/**
 * Where the driver and the compilers of CUDA are looked for: where a variable says, else in a fixed list of places. Never through
 * LD_LIBRARY_PATH, PATH or the working folder, where anybody may have put a file of that name.
 *
 *     WEFT_NVRTC=/opt/libnvrtc.so.13     that file or nothing; set to nothing, none is looked for
 *     not set                            lib64 of /usr/local/cuda, then of cuda-N.M, the newest first, then the distribution's folders
 *
 * | library | file                            | variable           | places                                                                 |
 * | ------- | ------------------------------- | ------------------ | ---------------------------------------------------------------------- |
 * | driver  | libcuda.so.1                    | WEFT_CUDA_DRIVER   | /usr/lib/x86_64-linux-gnu, /usr/lib64, /usr/lib/aarch64-linux-gnu,     |
 * |         |                                 |                    | /usr/local/nvidia/lib64, /usr/lib/wsl/lib; C:\Windows\System32         |
 * | nvrtc   | libnvrtc.so.13, libnvrtc.so.12  | WEFT_NVRTC         | lib64 of /usr/local/cuda and cuda-N.M, then the first three above      |
 * | nvcc    | nvcc                            | WEFT_NVCC          | bin of /usr/local/cuda and cuda-N.M                                    |
 */
import { readdirSync, realpathSync, statSync } from "node:fs"
import { posix, win32 } from "node:path"

export const libraryNames = ["driver", "nvrtc", "nvcc"] as const
export type LibraryName = (typeof libraryNames)[number]

/** The variable that names the file of each. */
export const libraryVariables: Readonly<Record<LibraryName, string>> = {
  driver: "WEFT_CUDA_DRIVER",
  nvrtc: "WEFT_NVRTC",
  nvcc: "WEFT_NVCC",
}

export interface LibrarySearch {
  readonly name: LibraryName
  /** The file, when one is there. */
  readonly path?: string
  /** Everything that was looked at, in order: files, and words where there was nothing to look at. */
  readonly looked: readonly string[]
}

/** What the search sees of the machine. */
export interface Surroundings {
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly platform: string
  readonly isFile: (path: string) => boolean
  /** Names in a folder; none where there is no folder. */
  readonly namesIn: (folder: string) => readonly string[]
}

const thisMachine: Surroundings = {
  environment: process.env,
  platform: process.platform,
  isFile: (path) => {
    try {
      return statSync(path).isFile()
    } catch {
      return false
    }
  },
  namesIn: (folder) => {
    try {
      return readdirSync(folder)
    } catch {
      return []
    }
  },
}

const distribution = ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib/aarch64-linux-gnu"]
const toolkits = "/usr/local"

/** Looks for a library or a program. */
export function findLibrary(name: LibraryName, machine: Surroundings = thisMachine): LibrarySearch {
  const variable = libraryVariables[name]
  const given = machine.environment[variable]
  if (given !== undefined) return named(name, `${variable}=${given}`, given, machine)
  const looked: string[] = []
  for (const path of placesOf(name, machine)) {
    looked.push(path)
    if (machine.isFile(path)) return { name, path, looked }
  }
  return { name, looked: looked.length > 0 ? looked : [`nothing is known of ${machine.platform}: set ${variable}`] }
}

function named(name: LibraryName, shown: string, path: string, { platform, isFile }: Surroundings): LibrarySearch {
  if (path === "") return { name, looked: [`${shown}: none is looked for`] }
  const isAbsolute = platform === "win32" ? win32.isAbsolute(path) : posix.isAbsolute(path)
  if (!isAbsolute) return { name, looked: [`${shown}: not an absolute path`] }
  return isFile(path) ? { name, path, looked: [shown] } : { name, looked: [`${shown}: no such file`] }
}

function placesOf(name: LibraryName, machine: Surroundings): readonly string[] {
  if (machine.platform === "win32") return name === "driver" ? ["C:\\Windows\\System32\\nvcuda.dll"] : []
  if (machine.platform !== "linux") return []
  const files = (folders: readonly string[], ...names: readonly string[]) =>
    folders.flatMap((folder) => names.map((file) => `${folder}/${file}`))
  if (name === "driver") return files([...distribution, "/usr/local/nvidia/lib64", "/usr/lib/wsl/lib"], "libcuda.so.1")
  const found = toolkitFolders(machine)
  if (name === "nvcc")
    return files(
      found.map((folder) => `${folder}/bin`),
      "nvcc",
    )
  const libraries = [...found.map((folder) => `${folder}/lib64`), ...distribution]
  return files(libraries, "libnvrtc.so.13", "libnvrtc.so.12")
}

/** /usr/local/cuda, which is the one that the machine's owner chose, then those with a version, the newest first. */
function toolkitFolders({ namesIn }: Surroundings): readonly string[] {
  const versions = namesIn(toolkits).flatMap((folder) => {
    const [, major, minor] = /^cuda-(\d+)(?:\.(\d+))?$/.exec(folder) ?? []
    return major === undefined ? [] : [{ folder, order: 1000 * Number(major) + Number(minor ?? 999) }]
  })
  versions.sort((a, b) => b.order - a.order)
  return ["cuda", ...versions.map(({ folder }) => folder)].map((folder) => `${toolkits}/${folder}`)
}

/** What tells one file of a compiler from another without loading it: where it really lies, its bytes and when it was written. */
export function identityOf(path: string): string {
  try {
    const { size, mtimeMs } = statSync(path)
    return `${realpathSync(path)} ${size} ${mtimeMs}`
  } catch {
    return `${path} is not there`
  }
}
