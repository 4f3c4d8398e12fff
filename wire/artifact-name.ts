/* Names of artifacts, which become names of files on every system: refused here rather than made to fit there. */

/** Longest name, in bytes of UTF-8: what file systems take. */
export const maximumNameBytes = 255;

/** Names that are devices on Windows, with any ending. */
const deviceName = /^(con|prn|aux|nul|clock\$|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?$/i;
// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const forbidden = /[\u0000-\u001f\u007f-\u009f<>:"|?*]/;
/** Characters that change how the text around them is read, such as the right-to-left override. */
const invisible = /[\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/;

/** Why a name is none for an artifact, or `undefined`. A name is one part: no folders. */
export function artifactNameFault(name: string): string | undefined {
  if (name.includes("/") || name.includes("\\")) return "it holds a slash or a backslash";
  return namePartFault(name);
}

/** Why a path is none for an entry of an archive, or `undefined`: relative, downwards, every part a name. */
export function entryPathFault(path: string): string | undefined {
  if (Buffer.byteLength(path) > 4096) return "it is above 4096 bytes";
  if (path.startsWith("/")) return "it is absolute";
  if (path.includes("\0")) return "it holds a NUL";
  for (const part of path.split("/")) {
    if (part === "") return "it has an empty part";
    if (part === "." || part === "..") return `it has the part "${part}"`;
    if (Buffer.byteLength(part) > maximumNameBytes) return `it has a part above ${maximumNameBytes} bytes`;
  }
  return undefined;
}

/** What two names share that some file system takes for one: they differ in case, or in how accents are composed. */
export function nameKey(name: string): string {
  return name.normalize("NFKC").toLowerCase().normalize("NFC");
}

function namePartFault(name: string): string | undefined {
  if (name === "") return "it is empty";
  if (!name.isWellFormed()) return "it is not Unicode";
  if (Buffer.byteLength(name) > maximumNameBytes) return `it is above ${maximumNameBytes} bytes`;
  if (name === "." || name === "..") return `"${name}" is a folder`;
  if (forbidden.test(name)) return 'it holds a control character or one of < > : " | ? *';
  if (invisible.test(name)) return "it holds an invisible character";
  if (/[. ]$/.test(name) || name.startsWith(" ")) return "it begins with a space, or ends with a space or a dot";
  if (deviceName.test(name)) return "it is the name of a device on Windows";
  return undefined;
}
