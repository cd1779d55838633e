/**
 * TypeScript's program over files. The compiler and its libraries, which lie in its own text, come as ts-morph brings them along for itself.
 */
import { basename, dirname, join } from "node:path"
import { getLibFiles, libFolderInMemoryPath, ts } from "@ts-morph/common"

/** The texts of the libraries by their names. */
const libraries = new Map(getLibFiles().map(({ fileName, text }) => [fileName, text]))

export function createProgram(files: readonly string[], options: ts.CompilerOptions): ts.Program {
  const host = ts.createCompilerHost(options)
  const { fileExists, readFile } = host
  const isLibrary = (path: string) => dirname(path) === libFolderInMemoryPath
  host.getDefaultLibLocation = () => libFolderInMemoryPath
  host.getDefaultLibFileName = (given) => join(libFolderInMemoryPath, ts.getDefaultLibFileName(given))
  host.fileExists = (path) => (isLibrary(path) ? libraries.has(basename(path)) : fileExists(path))
  host.readFile = (path) => (isLibrary(path) ? libraries.get(basename(path)) : readFile(path))
  return ts.createProgram([...files], options, host)
}
