// The part of ComfyUI's api object that an extension uses: events from the server, requests to it.

class Api extends EventTarget {
  fetchApi(address, options) {
    return fetch(`/api${address}`, options)
  }
}

export const api = new Api()
