"""Views without a CSRF check, for clients that are tests."""

from django import forms
from django.core.files.storage import default_storage
from django.http import FileResponse, Http404, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from .models import Document


class Form(forms.ModelForm):
    class Meta:
        model = Document
        fields = ["file"]  # noqa: RUF012


@csrf_exempt
def upload(request):
    """Store what a form sends, through the model."""
    form = Form(request.POST, request.FILES)
    if not form.is_valid():
        return JsonResponse({"errors": form.errors}, status=400)
    made = form.save()
    return JsonResponse({"name": made.file.name, "size": made.file.size, "kind": type(request.FILES["file"]).__name__})


@csrf_exempt
def checked(request):
    """Read the file, as a validator does, and refuse it."""
    file = request.FILES["file"]
    return JsonResponse({"size": file.size, "head": file.read(4).decode("latin-1")}, status=422)


def download(request, name):
    try:
        return FileResponse(default_storage.open(name))
    except FileNotFoundError as error:
        raise Http404 from error
