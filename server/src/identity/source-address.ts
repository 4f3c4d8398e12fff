import { BlockList, isIP } from "node:net";

/** The prefix length that means one address. */
const wholeAddress = { ipv4: 32, ipv6: 128 };

/** Whether a text is an address, or a network in CIDR form. */
export function isCidr(text: string): boolean {
  const [network = "", bits, ...more] = text.split("/");
  const version = isIP(network);
  if (version === 0 || more.length > 0) return false;
  return bits === undefined || Number(bits) <= wholeAddress[version === 6 ? "ipv6" : "ipv4"];
}

/** Whether an address lies in one of the CIDRs; what is none, such as the name of a network's service, lies in none. */
export function isWithin(address: string, cidrs: readonly string[]): boolean {
  const plain = address.startsWith("::ffff:") ? address.slice(7) : address;
  if (isIP(plain) === 0) return false;
  const list = new BlockList();
  for (const cidr of cidrs) {
    const [network = "", bits] = cidr.split("/");
    const family = isIP(network) === 6 ? "ipv6" : "ipv4";
    list.addSubnet(network, bits === undefined ? wholeAddress[family] : Number(bits), family);
  }
  return list.check(plain, isIP(plain) === 6 ? "ipv6" : "ipv4");
}
