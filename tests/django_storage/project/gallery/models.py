from django.db import models


class Document(models.Model):
    file = models.FileField(upload_to="documents", max_length=100)

    class Meta:
        app_label = "gallery"


class Picture(models.Model):
    image = models.ImageField(upload_to="pictures/%Y", width_field="width", height_field="height", blank=True)
    width = models.IntegerField(null=True, blank=True)
    height = models.IntegerField(null=True, blank=True)

    class Meta:
        app_label = "gallery"
