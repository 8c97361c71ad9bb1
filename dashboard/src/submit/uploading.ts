/** Uploads with progress, which fetch cannot tell of. */

import { problemOf, unreachable } from "../api/problems";
import type { Dataset, Job } from "../api/shapes";

interface Upload {
  answer: Promise<Dataset | Job>;
  cancel: () => void;
}

/** Send files as a dataset; `onShare` hears what share of the bytes is sent. */
export function upload(
  name: string,
  files: File[],
  isPrivate: boolean,
  onShare: (share: number) => void,
): Upload {
  const request = new XMLHttpRequest();
  const form = new FormData();
  form.set("name", name);
  if (isPrivate) form.set("private", "true");
  for (const file of files) form.append("file", file);
  const answer = new Promise<Dataset | Job>((resolve, reject) => {
    request.upload.onprogress = ({ loaded, total }) => onShare(loaded / total);
    request.onerror = () => reject(unreachable());
    request.onabort = () => reject(new DOMException("stopped", "AbortError"));
    request.onload = () => {
      const body: unknown = parsed(request.responseText);
      if (request.status < 300) resolve(body as Dataset | Job);
      else reject(problemOf(request.status, body, request.getResponseHeader("Retry-After")));
    };
  });
  request.open("POST", "/v1/datasets");
  request.send(form);
  return { answer, cancel: () => request.abort() };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
