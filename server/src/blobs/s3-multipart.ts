import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  UploadPartCommand,
  type CompletedPart,
  type S3Client,
} from "@aws-sdk/client-s3";

/** The parts of a content: those that were read already, and the others. */
export type Parts = { first: readonly Uint8Array[]; rest: AsyncIterable<Uint8Array> };

type S3Object = { Bucket: string; Key: string };

/**
 * Writes an object in parts. The next part is read while one is sent. An upload that fails is given up, so that its parts are not
 * kept; where that fails, too, the next opening of the store finds it.
 */
export async function putParts(
  client: S3Client,
  object: S3Object,
  { first, rest }: Parts,
): Promise<{ sizeBytes: number }> {
  const { UploadId } = await client.send(new CreateMultipartUploadCommand(object));
  if (UploadId === undefined) throw new Error("the store began an upload without an id");
  const upload = { ...object, UploadId };
  try {
    const sent: CompletedPart[] = [];
    let sizeBytes = 0;
    let sending: Promise<unknown> = Promise.resolve();
    const send = async (part: Uint8Array): Promise<void> => {
      await sending;
      sizeBytes += part.length;
      const PartNumber = sent.push({ PartNumber: sent.length + 1 });
      sending = sendPart(client, { ...upload, PartNumber }, part).then((one) => (sent[PartNumber - 1] = one));
      // It is looked at before the next one is sent, or at the end.
      sending.catch(() => undefined);
    };
    for (const part of first) await send(part);
    for await (const part of rest) await send(part);
    await sending;
    await client.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts: sent } }));
    return { sizeBytes };
  } catch (error) {
    await client.send(new AbortMultipartUploadCommand(upload)).catch(() => undefined);
    throw error;
  }
}

async function sendPart(
  client: S3Client,
  part: S3Object & { UploadId: string; PartNumber: number },
  Body: Uint8Array,
): Promise<CompletedPart> {
  const { ETag } = await client.send(new UploadPartCommand({ ...part, Body, ContentLength: Body.length }));
  return { PartNumber: part.PartNumber, ETag };
}
